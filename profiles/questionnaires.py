"""A QuestionnaireResponse against its Questionnaire: types, required, repeats, enableWhen, options.

https://hl7.org/fhir/R4/questionnaireresponse.html#rules, https://hl7.org/fhir/R4/questionnaire.html#enableWhen
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from profiles import answers
from profiles.conformance import fits
from profiles.context import is_member
from profiles.problems import Place, Problems, inside

Item = Mapping[str, Any]
# Type of a question -> the properties that its answers may have.
_ANSWERS: dict[str, frozenset[str]] = {
    "boolean": frozenset({"valueBoolean"}),
    "decimal": frozenset({"valueDecimal", "valueInteger"}),
    "integer": frozenset({"valueInteger"}),
    "date": frozenset({"valueDate"}),
    "dateTime": frozenset({"valueDateTime"}),
    "time": frozenset({"valueTime"}),
    "string": frozenset({"valueString"}),
    "text": frozenset({"valueString"}),
    "url": frozenset({"valueUri"}),
    "choice": frozenset({"valueCoding", "valueString", "valueInteger", "valueDate", "valueTime"}),
    "open-choice": frozenset({"valueCoding", "valueString", "valueInteger", "valueDate", "valueTime"}),
    "attachment": frozenset({"valueAttachment"}),
    "reference": frozenset({"valueReference"}),
    "quantity": frozenset({"valueQuantity"}),
}
_COMPLETE = frozenset({"completed", "amended"})
DEEPEST = 100


def check(response: Item, at: Place, out: Problems) -> None:
    """The thorough check of a QuestionnaireResponse calls this; without its Questionnaire it only says so."""
    canonical = response.get("questionnaire")
    if not isinstance(canonical, str):
        return
    if canonical.startswith("#"):
        questionnaire = out.context.target(canonical, at)
    else:
        questionnaire = out.context.definition(canonical)
    if not isinstance(questionnaire, dict) or questionnaire.get("resourceType") != "Questionnaire":
        out.add(
            "not-found", "The questionnaire is not known here, so its rules are not judged", at, "warning"
        )
        return
    _Response(response, questionnaire, out).items(questionnaire, response, at, 0)


class _Response:
    """One response beside its questionnaire."""

    def __init__(self, response: Item, questionnaire: Item, out: Problems) -> None:
        self.out = out
        self.complete = str(response.get("status")) in _COMPLETE
        self.answers: dict[str, list[Item]] = {}
        self._collect(response, 0)
        self.questions: dict[str, Item] = {}
        self._index(questionnaire, 0)

    def _collect(self, holder: Item, depth: int) -> None:
        for _, item in _list(holder, "item"):
            link = item.get("linkId")
            if isinstance(link, str):
                self.answers.setdefault(link, []).extend(answer for _, answer in _list(item, "answer"))
            if depth < DEEPEST:
                self._collect(item, depth + 1)
                for _, answer in _list(item, "answer"):
                    self._collect(answer, depth + 1)

    def _index(self, holder: Item, depth: int) -> None:
        for _, item in _list(holder, "item"):
            self.questions.setdefault(str(item.get("linkId")), item)
            if depth < DEEPEST:
                self._index(item, depth + 1)

    def items(self, asked: Item, given: Item, at: Place, depth: int) -> None:
        """The items of a group, question or the whole, against those that were asked there."""
        if depth > DEEPEST:
            return
        questions = {str(item.get("linkId")): item for _, item in _list(asked, "item")}
        order = list(questions)
        counts = dict.fromkeys(order, 0)
        last = -1
        for index, item in _list(given, "item"):
            place = inside(at, "item", index)
            link = str(item.get("linkId"))
            question = questions.get(link)
            if question is None:
                self.unknown(link, place)
                continue
            if order.index(link) < last:
                self.out.add("structure", "The items are not in the order of the questionnaire", place)
            last = max(last, order.index(link))
            counts[link] += 1
            self.item(question, item, place, depth)
        for link, question in questions.items():
            self.count(link, question, counts[link], at)
            self.occurrences(question, given, counts[link], at)

    def unknown(self, link: str, at: Place) -> None:
        known = "is asked in another place" if link in self.questions else "is not in the questionnaire"
        self.out.add("structure", f"The item's linkId {known}", at)

    def count(self, link: str, question: Item, found: int, at: Place) -> None:
        if found > 1 and question.get("repeats") is not True:
            self.out.add("structure", f"The item {link[:64]} may not repeat", at)
        elif not found and question.get("required") is True and self.complete and self.enabled(question):
            self.out.add("required", f"The item {link[:64]} must be answered", at)

    def occurrences(self, question: Item, given: Item, found: int, at: Place) -> None:
        """How often a group occurs, or how many answers a question has, where that is limited."""
        if question.get("type") != "group":
            link = question.get("linkId")
            found = sum(len(_list(i, "answer")) for _, i in _list(given, "item") if i.get("linkId") == link)
        name = str(question.get("linkId"))[:64]
        for least in answers.asked(question, "questionnaire-minOccurs"):
            needed = self.complete and isinstance(least, int) and found < least
            if needed and (found or question.get("required") is True) and self.enabled(question):
                self.out.add("required", f"The item {name} must occur {least} times", at)
        for most in answers.asked(question, "questionnaire-maxOccurs"):
            if isinstance(most, int) and found > most:
                self.out.add("structure", f"The item {name} may occur {most} times", at)

    def item(self, question: Item, item: Item, at: Place, depth: int) -> None:
        given = _list(item, "answer")
        if not self.enabled(question):
            if given or _list(item, "item"):
                self.out.add("structure", "The item has an answer, though it is not enabled", at)
            return
        type_ = question.get("type")
        if type_ == "display":
            if given:
                self.out.add("structure", "An item that only displays a text has no answers", at)
        elif type_ == "group":
            if given:
                self.out.add("structure", "A group has no answers of its own", at)
            self.items(question, item, at, depth + 1)
            return
        elif not given and question.get("required") is True and self.complete:
            self.out.add("required", f"The item {str(question.get('linkId'))[:64]} must be answered", at)
        if len(given) > 1 and question.get("repeats") is not True:
            self.out.add("structure", "The item may have one answer", at)
        for index, answer in given:
            place = inside(at, "answer", index)
            self.answer(question, answer, place)
            self.items(question, answer, place, depth + 1)

    # One answer.

    def answer(self, question: Item, answer: Item, at: Place) -> None:
        name = next((key for key in answer if key.startswith("value")), None)
        type_ = str(question.get("type"))
        if name is None:
            return
        if name not in _ANSWERS.get(type_, ()):
            self.out.add("structure", f"The answer to a question of type {type_} may not be a {name[5:]}", at)
            return
        value = answer[name]
        longest = question.get("maxLength")
        if isinstance(value, str) and isinstance(longest, int) and len(value) > longest:
            self.out.add("too-long", f"The answer may have {longest} characters", at)
        if type_ in ("choice", "open-choice") and not (type_ == "open-choice" and name == "valueString"):
            self.option(question, name, value, at)
        answers.check(question, value, at, self.out)

    def option(self, question: Item, name: str, value: Any, at: Place) -> None:
        options = [option for _, option in _list(question, "answerOption")]
        if options and not any(name in o and _is_option(value, o[name]) for o in options):
            self.out.add("code-invalid", "The answer is none of the options", at)
        value_set = question.get("answerValueSet")
        if not isinstance(value_set, str) or name != "valueCoding":
            return
        inside_ = is_member(value, value_set, self.out.context.member)
        if inside_ is False:
            self.out.add("code-invalid", "The answer is not from the question's value set", at)

    # https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.enableWhen

    def enabled(self, question: Item) -> bool:
        conditions = [condition for _, condition in _list(question, "enableWhen")]
        if not conditions:
            return True
        met = [self.met(condition) for condition in conditions]
        return any(met) if question.get("enableBehavior") == "any" else all(met)

    def met(self, condition: Item) -> bool:
        given = self.answers.get(str(condition.get("question")), [])
        name = next((key for key in condition if key.startswith("answer")), "")
        wanted, operator = condition.get(name), condition.get("operator")
        values = [value for a in given for key, value in a.items() if key.startswith("value")]
        if operator == "exists":
            return bool(values) is (wanted is True)
        if operator == "!=":
            return bool(values) and not any(_is_option(value, wanted) for value in values)
        if operator == "=":
            return any(_is_option(value, wanted) for value in values)
        return any(_compared(value, wanted, operator) for value in values)


def _is_option(value: Any, option: Any) -> bool:
    """A coding is an option by its system and code, whatever its display."""
    if isinstance(option, dict) and "code" in option:
        option = {k: option[k] for k in ("system", "code") if k in option}
    return fits(value, option)


def _compared(value: Any, wanted: Any, operator: Any) -> bool:
    if isinstance(value, dict) and isinstance(wanted, dict):
        if any(value.get(key) != wanted.get(key) for key in ("system", "code")):
            return False
        value, wanted = value.get("value"), wanted.get("value")
    numbers = isinstance(value, int | Decimal) and isinstance(wanted, int | Decimal)
    if not numbers and not (isinstance(value, str) and isinstance(wanted, str)):
        return False
    match operator:
        case ">":
            return bool(value > wanted)
        case "<":
            return bool(value < wanted)
        case ">=":
            return bool(value >= wanted)
        case "<=":
            return bool(value <= wanted)
    return False


def _list(holder: Item, name: str) -> list[tuple[int, Item]]:
    items = holder.get(name)
    return [
        (n, item) for n, item in enumerate(items if isinstance(items, list) else ()) if isinstance(item, dict)
    ]
