"""The operators of CQL and the types they take.

https://cql.hl7.org/09-b-cqlreference.html. Each line is `operands:result`; T stands for any one type, C for
one that may be a choice. Of two overloads that fit equally well the first wins.
"""

from __future__ import annotations

from functools import lru_cache

from rules.typed.types import Type, parse_type

Signature = tuple[tuple[Type, ...], Type]


def _each(names: str, form: str) -> str:
    return " ".join(form.replace("%", name) for name in names.split())


_NUMBERS = "Integer Long Decimal"
_MEASURES = f"{_NUMBERS} Quantity"
_ORDERED = f"{_MEASURES} Date DateTime Time String"
_DATED = "Date DateTime Time"
_STEPPED = f"{_MEASURES} {_DATED}"
_COMPARED = _each(f"{_ORDERED}", "%,%:Boolean")
_RELATED = (
    _each(_DATED, "%,%:Boolean")
    + " Interval<T>,Interval<T>:Boolean T,Interval<T>:Boolean Interval<T>,T:Boolean"
)
_BOTH_INTERVALS = "Interval<T>,Interval<T>:Boolean"
_BOTH_LISTS = "List<T>,List<T>:Boolean"
_CONVERTS = "Any:Boolean"
_CODED = "String Code Concept"

TABLE: dict[str, str] = {
    # logical and nullological
    "And": "Boolean,Boolean:Boolean",
    "Or": "Boolean,Boolean:Boolean",
    "Xor": "Boolean,Boolean:Boolean",
    "Implies": "Boolean,Boolean:Boolean",
    "Not": "Boolean:Boolean",
    "IsNull": "Any:Boolean",
    "IsTrue": "Boolean:Boolean",
    "IsFalse": "Boolean:Boolean",
    # comparison
    "Equal": "T,T:Boolean",
    "Equivalent": "T,T:Boolean",
    "Less": _COMPARED,
    "LessOrEqual": _COMPARED,
    "Greater": _COMPARED,
    "GreaterOrEqual": _COMPARED,
    # arithmetic
    "Add": _each(_MEASURES, "%,%:%") + " " + _each(_DATED, "%,Quantity:%"),
    "Subtract": _each(_MEASURES, "%,%:%") + " " + _each(_DATED, "%,Quantity:%"),
    "Multiply": _each(_MEASURES, "%,%:%"),
    "Divide": "Decimal,Decimal:Decimal Quantity,Quantity:Quantity",
    "TruncatedDivide": _each(_MEASURES, "%,%:%"),
    "Modulo": _each(_MEASURES, "%,%:%"),
    "Power": _each(_NUMBERS, "%,%:%"),
    "Negate": _each(_MEASURES, "%:%"),
    "Abs": _each(_MEASURES, "%:%"),
    "Ceiling": "Decimal:Integer",
    "Floor": "Decimal:Integer",
    "Truncate": "Decimal:Integer",
    "Exp": "Decimal:Decimal",
    "Ln": "Decimal:Decimal",
    "Log": "Decimal,Decimal:Decimal",
    "Round": "Decimal:Decimal Decimal,Integer:Decimal",
    "Successor": _each(_STEPPED, "%:%"),
    "Predecessor": _each(_STEPPED, "%:%"),
    "Precision": _each(f"Decimal {_DATED}", "%:Integer"),
    "LowBoundary": _each(f"Decimal {_DATED}", "%,Integer:%"),
    "HighBoundary": _each(f"Decimal {_DATED}", "%,Integer:%"),
    # string
    "Concatenate": "String,String:String",
    "Combine": "List<String>:String List<String>,String:String",
    "Split": "String,String:List<String>",
    "SplitOnMatches": "String,String:List<String>",
    "Length": "String:Integer List<T>:Integer",
    "Upper": "String:String",
    "Lower": "String:String",
    "Indexer": "String,Integer:String List<T>,Integer:T",
    "PositionOf": "String,String:Integer",
    "LastPositionOf": "String,String:Integer",
    "Substring": "String,Integer:String String,Integer,Integer:String",
    "StartsWith": "String,String:Boolean",
    "EndsWith": "String,String:Boolean",
    "Matches": "String,String:Boolean",
    "ReplaceMatches": "String,String,String:String",
    # date and time
    "Now": ":DateTime",
    "Today": ":Date",
    "TimeOfDay": ":Time",
    "Date": "Integer:Date Integer,Integer:Date Integer,Integer,Integer:Date",
    "DateTime": " ".join(f"{','.join(['Integer'] * count)}:DateTime" for count in range(1, 8))
    + " Integer,Integer,Integer,Integer,Integer,Integer,Integer,Decimal:DateTime",
    "Time": " ".join(f"{','.join(['Integer'] * count)}:Time" for count in range(1, 5)),
    "DateFrom": "DateTime:Date",
    "TimeFrom": "DateTime:Time",
    "TimezoneOffsetFrom": "DateTime:Decimal",
    "DateTimeComponentFrom": _each("DateTime Date Time", "%:Integer"),
    "DurationBetween": _each("DateTime Date Time", "%,%:Integer"),
    "DifferenceBetween": _each("DateTime Date Time", "%,%:Integer"),
    "CalculateAge": "Date:Integer DateTime:Integer",
    "CalculateAgeAt": "Date,Date:Integer DateTime,DateTime:Integer",
    # timing, of points and intervals
    "SameAs": _each(_DATED, "%,%:Boolean") + " " + _BOTH_INTERVALS,
    "SameOrBefore": _RELATED,
    "SameOrAfter": _RELATED,
    "Before": _RELATED,
    "After": _RELATED,
    # intervals
    "Start": "Interval<T>:T",
    "End": "Interval<T>:T",
    "Width": "Interval<T>:T",
    "Size": "Interval<T>:T",
    "PointFrom": "Interval<T>:T",
    "Contains": "Interval<T>,T:Boolean List<T>,T:Boolean",
    "ProperContains": "Interval<T>,T:Boolean List<T>,T:Boolean",
    "In": "T,Interval<T>:Boolean T,List<T>:Boolean",
    "ProperIn": "T,Interval<T>:Boolean T,List<T>:Boolean",
    "Includes": f"{_BOTH_INTERVALS} {_BOTH_LISTS}",
    "ProperIncludes": f"{_BOTH_INTERVALS} {_BOTH_LISTS}",
    "IncludedIn": f"{_BOTH_INTERVALS} {_BOTH_LISTS}",
    "ProperIncludedIn": f"{_BOTH_INTERVALS} {_BOTH_LISTS}",
    "Meets": _BOTH_INTERVALS,
    "MeetsBefore": _BOTH_INTERVALS,
    "MeetsAfter": _BOTH_INTERVALS,
    "Overlaps": _BOTH_INTERVALS,
    "OverlapsBefore": _BOTH_INTERVALS,
    "OverlapsAfter": _BOTH_INTERVALS,
    "Starts": _BOTH_INTERVALS,
    "Ends": _BOTH_INTERVALS,
    "Union": "Interval<T>,Interval<T>:Interval<T> List<C>,List<C>:List<C>",
    "Intersect": "Interval<T>,Interval<T>:Interval<T> List<C>,List<C>:List<C>",
    "Except": "Interval<T>,Interval<T>:Interval<T> List<C>,List<C>:List<C>",
    "Expand": "List<Interval<T>>,Quantity:List<Interval<T>> Interval<T>,Quantity:List<T>",
    "Collapse": "List<Interval<T>>,Quantity:List<Interval<T>>",
    # lists
    "Exists": "List<T>:Boolean",
    "Distinct": "List<T>:List<T>",
    "Flatten": "List<List<T>>:List<T>",
    "First": "List<T>:T",
    "Last": "List<T>:T",
    "SingletonFrom": "List<T>:T",
    "IndexOf": "List<T>,T:Integer",
    "Slice": "List<T>,Integer,Integer:List<T>",
    "Children": "Any:List<Any>",
    "Descendents": "Any:List<Any>",
    # aggregates
    "AllTrue": "List<Boolean>:Boolean",
    "AnyTrue": "List<Boolean>:Boolean",
    "Count": "List<T>:Integer",
    "Sum": _each(_MEASURES, "List<%>:%"),
    "Product": _each(_MEASURES, "List<%>:%"),
    "Max": _each(_ORDERED, "List<%>:%"),
    "Min": _each(_ORDERED, "List<%>:%"),
    "Avg": "List<Decimal>:Decimal List<Quantity>:Quantity",
    "GeometricMean": "List<Decimal>:Decimal",
    "Median": "List<Decimal>:Decimal List<Quantity>:Quantity",
    "Mode": "List<T>:T",
    "Variance": "List<Decimal>:Decimal List<Quantity>:Quantity",
    "PopulationVariance": "List<Decimal>:Decimal List<Quantity>:Quantity",
    "StdDev": "List<Decimal>:Decimal List<Quantity>:Quantity",
    "PopulationStdDev": "List<Decimal>:Decimal List<Quantity>:Quantity",
    # conversion
    "ToString": _each(f"{_MEASURES} Boolean {_DATED} Ratio String", "%:String"),
    "ToBoolean": _each(f"String {_NUMBERS} Boolean", "%:Boolean"),
    "ToInteger": _each("String Boolean Long Integer Decimal", "%:Integer"),
    "ToLong": _each("String Boolean Integer Long Decimal", "%:Long"),
    "ToDecimal": _each("String Boolean Integer Long Decimal", "%:Decimal"),
    "ToDate": _each("String DateTime Date", "%:Date"),
    "ToDateTime": _each("String Date DateTime", "%:DateTime"),
    "ToTime": _each("String Time", "%:Time"),
    "ToQuantity": _each("String Integer Long Decimal Ratio Quantity", "%:Quantity"),
    "ToRatio": _each("String Ratio", "%:Ratio"),
    "ToConcept": "Code:Concept List<Code>:Concept",
    "ToChars": "String:List<String>",
    "ConvertsToBoolean": _CONVERTS,
    "ConvertsToInteger": _CONVERTS,
    "ConvertsToLong": _CONVERTS,
    "ConvertsToDecimal": _CONVERTS,
    "ConvertsToString": _CONVERTS,
    "ConvertsToDate": _CONVERTS,
    "ConvertsToDateTime": _CONVERTS,
    "ConvertsToTime": _CONVERTS,
    "ConvertsToQuantity": _CONVERTS,
    "ConvertsToRatio": _CONVERTS,
    "ConvertQuantity": "Quantity,String:Quantity",
    "CanConvertQuantity": "Quantity,String:Boolean",
    # clinical
    "InValueSet": _each(_CODED, "%,ValueSet:Boolean"),
    "AnyInValueSet": _each(_CODED, "List<%>,ValueSet:Boolean"),
    "InCodeSystem": _each(_CODED, "%,CodeSystem:Boolean"),
    "AnyInCodeSystem": _each(_CODED, "List<%>,CodeSystem:Boolean"),
    "ExpandValueSet": "ValueSet:List<Code>",
    "Subsumes": "Code,Code:Boolean Concept,Concept:Boolean",
    "SubsumedBy": "Code,Code:Boolean Concept,Concept:Boolean",
    # messages
    "Message": "T,Boolean,String,String,String:T",
}


@lru_cache(maxsize=512)
def overloads(op: str) -> tuple[Signature, ...]:
    """The overloads of an operator, none if there is no such operator."""
    found = []
    for line in TABLE.get(op, "").split():
        operands, _, result = line.partition(":")
        types = tuple(parse_type(text) for text in operands.split(",") if text)
        found.append((types, parse_type(result)))
    return tuple(found)
