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
_WHEN = (
    r"(?:when|where|(?:in |on |at )?(?:what|which) (?:times?|moments?|points?|seconds?|minutes?|scenes?|parts?|"
    r"shots?|frames?)(?: (?:of|in) (?:the|this) (?:video|stream|clip|footage|film))?)(?: exactly)?"
)
_PLACE = r"(?:moments?|times?|scenes?|parts?|places?|shots?|appearances?|occurrences?)"
TIME = (
    rf"(?:\d+:\d{{1,2}}(?::\d{{2}})?(?:\.\d+)?|\d+(?:\.\d+)?\s*{UNIT}(?:\s*(?:and\s+)?\d+\s*{UNIT}){{0,2}}"
    r"(?!\w))"
)
BARE = rf"(?:{TIME}|\d+(?:\.\d+)?(?![\w:]))"
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
_ALL = (
    r"(?:video|stream|clip|footage|film|recording|scenes?|pictures?|frames?|screen|memory|events?|"
    r"contents?|whole|entire|rest|situation|action)\b"
)
_JUST = r"(?: right| just| directly| immediately| straight)?"
_EVER = r"(?: ever| also| again)?"
_OFTEN = r"(?:once|twice|often|\d+ times|(?:more than|at least|only|just) (?:once|twice|\d+ times)|(?:several|many) times)"

PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("duration", rf"(?:for )?how (?:long|much time|many (?:seconds|minutes)) (?:{_BE}|{_DO}) {_YOU} {_SEE} (?P<a>.+)"),
    ("duration", rf"how many (?:seconds|minutes|hours) long {_BE} (?P<a>.+)"),
    ("duration", rf"(?:for )?how (?:long|much time|many (?:seconds|minutes)) (?:{_BE}|{_DO}) (?P<a>.+?)(?: (?:{SEEN}|last|spend|stay|remain|run|go on)(?: on screen| on the screen| visible| for)?)?"),
    ("duration", r"what is the (?:total )?(?:duration|length|time) of (?P<a>.+)"),
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
    ("first", rf"(?:{_BE}|{_DO}) (?P<a>.+?)(?: (?:come|came|{SEEN}))? before (?P<b>.+?) or after(?: it| that)?"),
    ("first", rf"(?:{_BE}|{_DO}) (?P<a>.+?) (?:come|{SEEN}) (?P<w>first|earlier|last|later),? or (?:(?:{_BE}|{_DO}) )?(?P<b>.+)"),
    ("order", rf"(?:{_BE}|{_DO}) (?:there )?(?P<a>.+?)(?: (?:come|came|{SEEN}))? (?P<o>before|after) (?P<b>.+?)(?: {_DO}| {_BE})?"),
    ("when", rf"(?:when {_BE} |what {_BE} )?(?:the )?(?P<w>first|last) (?:appearance|occurrence) of (?P<a>.+)"),
    ("when", rf"(?:when|what) {_BE} the (?P<w>first|last) {_PLACE}(?: that| when| with| of)?(?: {_YOU} {_SEE})? (?P<a>.+?)(?: (?:{_BE} )?{SEEN})?"),
    ("after", rf"what(?: {_BE}| {_DO}| can be)?(?: {_YOU})?(?: comes?| came| happens?| happened| follows?| appear(?:s|ed)?| {_SEE}| {SEEN})*{_JUST}(?: next)? after (?P<a>.+)"),
    ("before", rf"what(?: {_BE}| {_DO}| can be)?(?: {_YOU})?(?: comes?| came| happens?| happened| appear(?:s|ed)?| {_SEE}| {SEEN})*{_JUST} before (?P<a>.+)"),
    ("after", r"what(?: directly| immediately)? (?:follows|followed|comes next after) (?P<a>.+)"),
    ("before", r"what(?: directly| immediately)? (?:precedes|preceded) (?P<a>.+)"),
    ("when", rf"{_WHEN} (?:{_BE}|{_DO}) {_YOU} (?P<w>first |last )?{_SEE} (?P<a>.+)"),
    ("when", rf"{_WHEN} (?:{_BE}|{_DO}) (?:there )?(?P<a>.+?) (?P<w>first |last )?(?:{_BE} )?(?:{SEEN}|{_GONE}|show)(?: again)?(?: (?P<v>first|last))?(?: (?:for )?the (?P<x>first|last) time)?"),
    ("when", rf"{_WHEN} {_BE} (?:there )?(?P<a>.+)"),
    ("when", rf"(?:when|where) (?P<a>.+?) (?:{_BE} )?{SEEN}"),
    ("describe", r"(?:give me |write )?(?:a |an )?(?:short )?(?:summary|overview|description|recap)\b.*"),
    ("describe", r"(?:list|name|show)(?: me)? (?:everything|all|(?:all )?(?:the )?(?:things|objects|items))(?: (?:that )?(?:i|you|we) (?:see|saw|have seen))?"),
    ("when", rf"(?:find|locate|list|search for|look for|jump to|go to|take me to|seek|give me)(?: me)?(?: (?:the|all|every)(?: the)? {_PLACE}(?: with| of| where| when| that shows?)?)? (?P<a>.+?)(?: {SEEN})?"),
    ("when", rf"show(?: me)?(?: (?:the|all|every)(?: the)? {_PLACE}(?: with| of| where| when| that shows?)?)? (?!in |at |on )(?P<a>.+)"),
    ("when", rf"(?:(?:the|all|every)(?: the)? )?{_PLACE} (?:with|of|where|when|that) (?P<a>.+?)(?: {SEEN})?"),
    ("when", rf"every time (?P<a>.+?) {SEEN}"),
    ("presence", rf"{_BE} there(?: ever| also)?(?: been)? (?P<a>.+?)(?: {SEEN})?"),
    ("presence", rf"(?:has|have|had) there(?: ever)? been (?P<a>.+?)(?: {SEEN})?"),
    ("presence", rf"{_DO} {_YOU}{_EVER} {_SEE} (?P<a>.+)"),
    ("presence", rf"{_DO} (?:the|this) (?:video|stream|clip|footage|film) (?:show|contain|include|have|feature)s? (?P<a>.+)"),
    ("presence", rf"(?:{_BE}|{_DO}) (?P<a>.+?){_EVER} (?:{_BE} )?{SEEN}(?: again)?"),
    ("presence", rf"{_BE} (?P<a>.+) (?:in|on) (?:the|this) (?:video|stream|clip|footage|film|screen)"),
    ("presence", rf"{_BE} (?P<a>(?:some|any)(?:body|one|thing) .+|(?:an?|the) .+ing .+)"),
    ("when", rf"(?:describe|(?:talk )?about) (?:an?|the|my|any) (?!{_ALL})(?P<a>.+)"),
    ("describe", r"(?:please )?(?:describe|summari[sz]e|recap|outline)\b.*"),
    ("describe", r"(?:(?:talk|what|how) )?about (?:the|this) (?:video|stream|clip|footage|film|recording)"),
    ("describe", rf"(?:what|who|which things)(?: (?:is|was|can|do|did))?(?: {_YOU})?(?: be)?(?: {_SEE}| {SEEN}| happen(?:s|ed)?| comes?| came) (?P<w>first|last)"),
    ("describe", rf"(?:what|who|(?:what|which) (?:(?:kinds?|sorts?) of )?(?:things|objects|items)) (?:{_BE}|{_DO}|happens|happened|appears?|appeared|comes?|came|can)\b(?: {_YOU})?(?: be)?(?: {_SEE}| {SEEN}| happen| happening| going on| in| on| about| right| just| next| this| the| video| stream| clip| footage| film| screen)*"),
    ("when", rf"(?:what|which) (?:(?:kinds?|sorts?) of )?(?P<a>(?!{_BE}|{_DO}).+?)(?: {_BE}| {_DO})?(?: {_YOU})?(?: be)? (?:{_SEE}|{SEEN})"),
    ("search", r"(?:what|how) about (?P<a>.+)"),
    ("when", r"(?:when|where) (?:do|does|did|will) (?P<a>.+)"),
)  # fmt: skip
TABLE = tuple((kind, re.compile(rf"{pattern}{_WHERE}")) for kind, pattern in PATTERNS)
