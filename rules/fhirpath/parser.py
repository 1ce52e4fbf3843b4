"""Tokens to a syntax tree, by precedence climbing.

https://hl7.org/fhirpath/N1/#operator-precedence
"""

from __future__ import annotations

from decimal import Decimal

from rules.fhirpath.lexer import CompileError, Token, tokens
from rules.fhirpath.nodes import Binary, Call, Index, IsType, Literal, Member, Node, OfType, This

# The higher, the tighter. `as` and `is` take a type on the right and bind tighter than all of these.
_BINDING = {"or": 1, "and": 2, "=": 3, "!=": 3, "|": 4}
_TYPE_BINDING = 5
# The rest of the grammar: words that must not be taken for the end of an expression or for a name.
_LATER = {"xor", "implies", "in", "contains", "div", "mod"}


def parse(text: str) -> Node:
    """The tree of an expression; CompileError where the subset ends."""
    parser = _Parser(text)
    node = parser.expression(0)
    parser.expect("end")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(tokens(text))
        self.position = 0

    def peek(self) -> Token:
        return self.tokens[self.position]

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += token.kind != "end"
        return token

    def expect(self, kind: str) -> Token:
        token = self.take()
        if token.kind != kind:
            raise self.error(f"expected {kind}, found {token.text or 'the end'!r}", token)
        return token

    def error(self, message: str, token: Token) -> CompileError:
        return CompileError(message, self.text, token.at)

    def expression(self, binding: int) -> Node:
        node = self.postfix()
        while True:
            token = self.peek()
            if token.text in ("as", "is") and token.kind == "name" and binding < _TYPE_BINDING:
                self.take()
                node = (OfType if token.text == "as" else IsType)(node, self.type_name(), token.at)
            elif token.kind != "string" and _BINDING.get(token.text, -1) > binding:
                self.take()
                right = self.expression(_BINDING[token.text])
                node = Binary(token.text, node, right, token.at)
            elif token.kind == "name" and token.text in _LATER:
                raise self.error(f"{token.text!r} is not supported here", token)
            else:
                return node

    def postfix(self) -> Node:
        node = self.term()
        while self.peek().kind in (".", "["):
            mark = self.take()
            if mark.kind == ".":
                node = self.invocation(node)
            else:
                index = self.expect("number")
                if not index.text.isdigit():
                    raise self.error("an index is a whole number", index)
                self.expect("]")
                node = Index(node, int(index.text), mark.at)
        return node

    def term(self) -> Node:
        token = self.peek()
        if token.kind == "name" and token.text not in ("true", "false"):
            return self.invocation(None)
        self.take()
        match token.kind:
            case "name":
                return Literal(token.text == "true", token.at)
            case "string":
                return Literal(token.text, token.at)
            case "number":
                value = Decimal(token.text) if "." in token.text else int(token.text)
                return Literal(value, token.at)
            case "this":
                return This(token.at)
            case "(":
                node = self.expression(0)
                self.expect(")")
                return node
        raise self.error(f"{token.text or 'the end'!r} is not expected here", token)

    def invocation(self, child: Node | None) -> Node:
        name = self.expect("name")
        if self.peek().kind != "(":
            return Member(child, name.text, name.at)
        self.take()
        if name.text in ("as", "ofType", "is"):
            made = IsType if name.text == "is" else OfType
            node = made(child or This(name.at), self.type_name(), name.at)
            self.expect(")")
            return node
        return Call(child, name.text, self.arguments(), name.at)

    def arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while self.peek().kind != ")":
            if found:
                self.expect(",")
            found.append(self.expression(0))
        self.take()
        return tuple(found)

    def type_name(self) -> str:
        """A type's name, without the FHIR namespace it may carry."""
        name = self.expect("name")
        if name.text == "FHIR" and self.peek().kind == ".":
            self.take()
            name = self.expect("name")
        return name.text
