"""How people ask: one table of patterns for the kinds of questions, matched top to bottom.

Groups: `a` and `b` are the things asked about, `w`, `v` and `x` say first or last, `o` before or
after. A pattern takes a whole question, in lower case and without its marks.
"""

import re
from typing import Literal

Kind = Literal[
    "when",
    "count",
    "presence",
    "at",
    "after",
    "before",
    "first",
    "order",
    "duration",
    "describe",
    "search",
]

UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|h)(?![a-z])"
TIME = (
    rf"(?:\d+:\d{{1,2}}(?::\d{{2}})?(?:\.\d+)?|\d+(?:\.\d+)?\s*{UNIT}(?:\s+(?:and\s+)?\d+\s*{UNIT})?"
    r"(?!\w))"
)
BARE = rf"(?:{TIME}|\d+(?:\.\d+)?)"
_BE = r"(?:is|was|are|were|be|been|being)"
_DO = r"(?:do|does|did|has|have|had|can|could|will|would)"
SEEN = (
    r"(?:shown|seen|visible|displayed|featured|present|pictured|on screen|on the screen|"
    r"in view|there|appear(?:s|ed|ing)?|show(?:s|ed|n)? up|come(?:s)? up|came up|turn(?:s|ed)? up|"
    r"occur(?:s|red)?|in it)"
)
_GONE = r"(?:disappear(?:s|ed)?|vanish(?:es|ed)?|leave|leaves|left|go away|goes away|went away)"
_WHERE = r"(?: (?:in|on|during|of) (?:the|this|that) (?:video|stream|clip|footage|film|recording|memory|camera))?"
_YOU = r"(?:i|you|we|one|anyone|somebody|someone|it|the camera)"
_SEE = r"(?:remember seeing|see|seen|seeing|saw|notice|noticed|spot|spotted|find|found|watch|watched|remember|observe|observed)"
_JUST = r"(?: right| just| directly| immediately| straight)?"
_EVER = r"(?: ever| also| again)?"
_OFTEN = r"(?:once|twice|often|\d+ times|(?:more than|at least|only|just) (?:once|twice|\d+ times)|(?:several|many) times)"

PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("duration", rf"(?:for )?how long (?:{_BE}|{_DO}) {_YOU} {_SEE} (?P<a>.+)"),
    ("duration", rf"(?:for )?how (?:long|much time|many (?:seconds|minutes)) (?:{_BE}|{_DO}) (?P<a>.+?)(?: (?:{SEEN}|last|spend|stay|remain|run|go on)(?: on screen| on the screen| visible| for)?)?"),
    ("duration", r"what is the (?:duration|length) of (?P<a>.+)"),
    ("count", rf"(?:how (?:many times|often)|what number of times) (?:{_BE}|{_DO}) {_YOU} {_SEE} (?P<a>.+)"),
    ("count", rf"(?:how (?:many times|often)|what number of times) (?:{_BE}|{_DO}) (?:there )?(?P<a>.+?)(?: (?:get |{_BE} )?{SEEN})?"),
    ("count", r"(?:count|number of)(?: all)?(?: the)? (?:times|appearances|occurrences)(?: of)? (?P<a>.+)"),
    ("count", r"how many (?:appearances|occurrences|shots|scenes) (?:of|with) (?P<a>.+?)(?: (?:are|were) there)?"),
    ("count", rf"(?:{_BE}|{_DO}) (?:there )?(?P<a>.+?) (?:{_BE} )?{SEEN} {_OFTEN}"),
    ("count", rf"how many (?P<a>.+?) (?:{_BE}|{_DO})(?: {_YOU})?(?: {_SEE}| {SEEN})?"),
    ("count", rf"how many (?P<a>.+?) {SEEN}"),
    ("first", rf"(?:which|what|who)(?: one| thing)? (?:{_BE} )?(?:comes?|came|appear(?:s|ed)?|shown|seen|{_BE})(?: shown| seen)? (?P<w>first|earlier|last|later)[,:;]? (?P<a>.+?),? or (?P<b>.+)"),
    ("first", rf"(?:which|what|who)(?: one)? (?:do|did) {_YOU} {_SEE} (?P<w>first|earlier|last|later)[,:;]? (?P<a>.+?),? or (?P<b>.+)"),
    ("first", rf"(?:{_BE}|{_DO}) (?P<a>.+?) or (?P<b>.+?) (?:come|appear|{SEEN}) (?P<w>first|earlier|last|later)"),
    ("first", rf"(?:{_BE}|{_DO}) (?P<a>.+?)(?: (?:come|came|{SEEN}))? (?:before or after|after or before) (?P<b>.+?)"),
    ("order", rf"(?:{_BE}|{_DO}) (?:there )?(?P<a>.+?)(?: (?:come|came|{SEEN}))? (?P<o>before|after) (?P<b>.+?)(?: {_DO}| {_BE})?"),
    ("when", rf"when {_BE} the (?P<w>first|last) time(?: that)?(?: {_YOU} {_SEE})? (?P<a>.+?)(?: (?:{_BE} )?{SEEN})?"),
    ("after", rf"what(?: {_BE}| {_DO}| can be)?(?: {_YOU})?(?: comes?| came| happens?| happened| follows?| appear(?:s|ed)?| {_SEE}| {SEEN})*{_JUST}(?: next)? after (?P<a>.+)"),
    ("before", rf"what(?: {_BE}| {_DO}| can be)?(?: {_YOU})?(?: comes?| came| happens?| happened| appear(?:s|ed)?| {_SEE}| {SEEN})*{_JUST} before (?P<a>.+)"),
    ("after", r"what(?: directly| immediately)? (?:follows|followed|comes next after) (?P<a>.+)"),
    ("before", r"what(?: directly| immediately)? (?:precedes|preceded) (?P<a>.+)"),
    ("when", rf"(?:when|where|(?:at )?(?:what|which) (?:time|times|moment|moments|point|second|minute))(?: exactly)? (?:{_BE}|{_DO}) {_YOU} (?P<w>first |last )?{_SEE} (?P<a>.+)"),
    ("when", rf"(?:when|where|(?:at )?(?:what|which) (?:time|times|moment|moments|point|second|minute))(?: exactly)? (?:{_BE}|{_DO}) (?:there )?(?P<a>.+?) (?P<w>first |last )?(?:{_BE} )?(?:{SEEN}|{_GONE}|show)(?: again)?(?: (?P<v>first|last))?(?: for the (?P<x>first|last) time)?"),
    ("when", rf"(?:when|where|(?:at )?(?:what|which) (?:time|moment|point))(?: exactly)? {_BE} (?:there )?(?P<a>.+)"),
    ("when", rf"(?:when|where) (?P<a>.+?) (?:{_BE} )?{SEEN}"),
    ("when", r"(?:find|locate|list|search for|look for|jump to|go to|take me to|seek)(?: me)?(?: (?:the|all|every) (?:moments?|times?|scenes?|parts?|places?)(?: with| of| where| when| that shows?)?)? (?P<a>.+)"),
    ("when", r"show(?: me)?(?: (?:the|all|every) (?:moments?|times?|scenes?|parts?|places?)(?: with| of| where| when| that shows?)?)? (?!in |at |on )(?P<a>.+)"),
    ("presence", rf"{_BE} there(?: ever| also)?(?: been)? (?P<a>.+?)(?: {SEEN})?"),
    ("presence", rf"(?:has|have|had) there(?: ever)? been (?P<a>.+?)(?: {SEEN})?"),
    ("presence", rf"{_DO} {_YOU}{_EVER} {_SEE} (?P<a>.+)"),
    ("presence", rf"{_DO} (?:the|this) (?:video|stream|clip|footage|film) (?:show|contain|include|have|feature)s? (?P<a>.+)"),
    ("presence", rf"(?:{_BE}|{_DO}) (?P<a>.+?){_EVER} (?:{_BE} )?{SEEN}"),
    ("presence", rf"{_BE} (?P<a>.+) (?:in|on) (?:the|this) (?:video|stream|clip|footage|film|screen)"),
    ("presence", rf"{_BE} (?P<a>(?:some|any)(?:body|one|thing) .+|(?:an?|the) .+ing .+)"),
    ("describe", r"(?:please )?(?:describe|summari[sz]e|recap|outline)\b.*"),
    ("describe", r"(?:give me |write )?(?:a |an )?(?:short )?(?:summary|overview|description|recap)\b.*"),
    ("describe", r"(?:talk )?about (?:the|this) (?:video|stream|clip|footage|film|recording)"),
    ("describe", rf"(?:what|who|which things) (?:{_BE}|{_DO}|happens|happened|appears?|appeared|can)\b(?: {_YOU})?(?: be)?(?: {_SEE}| {SEEN}| happen| happening| going on| in| on| about| this| the| video| stream| clip| footage| film| screen)*"),
)  # fmt: skip
TABLE = tuple((kind, re.compile(rf"{pattern}{_WHERE}")) for kind, pattern in PATTERNS)
