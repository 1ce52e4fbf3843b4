"""Comparisons in loops, written out for what data mostly are: times with a zone, quantities of one unit.

Everything else is left to the operator, which the text names last; tests/cql/test_cql_loops.py holds the two
together.
"""

from __future__ import annotations

from typing import Final

from rules.emit.elements import Elements
from rules.runtime.decimals import difference
from rules.typed.tree import Typed
from rules.typed.types import DATETIME, QUANTITY

_SIGNS: Final = {"Greater": ">", "GreaterOrEqual": ">=", "Less": "<", "LessOrEqual": "<="}


class Comparisons(Elements):
    """After, Before, Less and the like."""

    def _after(self, node: Typed) -> str:
        return self._compared(node, later=True)

    def _before(self, node: Typed) -> str:
        return self._compared(node, later=False)

    _sameorafter = _greater = _greaterorequal = _after
    _sameorbefore = _less = _lessorequal = _before

    def _compared(self, node: Typed, *, later: bool) -> str:
        if not self.out.loops or "precision" in node.fields:
            return self._call(node)
        left, right = node.operands
        if self._is_time(left) and self._is_time(right):
            return self._of_times(node, later=later)
        if node.op in _SIGNS and right.op == "Quantity" and self._is_quantity(left):
            return self._with_constant(node, left, right)
        return self._call(node)

    def _of_times(self, node: Typed, *, later: bool) -> str:
        """Times whose spans do not meet are in order, whatever else is unknown of them."""
        left, right = (self.held(operand) for operand in node.operands)
        nulls = [f"{name} is None" for name in (left, right) if name not in self.never_null]
        null = f"None if {' or '.join(nulls)} else " if nulls else ""
        above, below = f"{left}.earliest > {right}.latest", f"{left}.latest < {right}.earliest"
        holds, fails = (above, below) if later else (below, above)
        return f"({null}True if {holds} else False if {fails} else {self._operator(node, left, right)})"

    def _with_constant(self, node: Typed, left: Typed, right: Typed) -> str:
        """A quantity, or a difference, beside a constant: numbers are compared if the units are one."""
        sign, unit = _SIGNS[node.op], repr(right.fields["unit"])
        number = self.module.constant(f"{self.decimal(right.fields['value'])}")
        constant = self.expression(right)
        lifted = self._lifted_out(left)
        if lifted is None and left.op == "Subtract":
            first, second = (self.held(operand) for operand in left.operands)
            found = self.out.fresh()
            known = (
                f"{first} is not None and {second} is not None and {first}.unit == {unit} == {second}.unit"
            )
            made = f"({found} := {self.module.bind(difference, 'difference')}({first}.value, {second}.value))"
            slow = self._operator(node, self._operator(left, first, second), constant)
            return f"({found} {sign} {number} if {known} and {made}.adjusted() < 28 else {slow})"
        held = lifted or self.held(left)
        slow = self._operator(node, held, constant)
        return f"({held}.value {sign} {number} if {held} is not None and {held}.unit == {unit} else {slow})"

    def _operator(self, node: Typed, *texts: str) -> str:
        """The operator itself, of operands that are written already."""
        pairs = zip(node.operands, texts, strict=True)
        operands = [Typed("Local", operand.type, [], {"text": text}) for operand, text in pairs]
        return self._call(Typed(node.op, node.type, operands, node.fields, node.at))

    def _is_time(self, node: Typed) -> bool:
        """Whether the value is a DateTime or null for sure, and not one known only within bounds."""
        if node.type != DATETIME:
            return False
        if node.op in ("Add", "Subtract"):
            return self._is_time(node.operands[0])
        return node.op in ("Now", "Literal") or self._is_converted(node)

    def _is_quantity(self, node: Typed) -> bool:
        """Whether the value is a Quantity or null for sure."""
        if node.type != QUANTITY:
            return False
        if node.op == "Subtract":
            return all(self._is_quantity(operand) for operand in node.operands)
        return self._is_converted(node)

    def _is_converted(self, node: Typed) -> bool:
        return node.op == "ModelConversion" and node.fields["from"] is not None
