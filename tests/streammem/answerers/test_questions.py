"""What ways of asking are taken to mean."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem.answerers.questions import Question, noun_phrase, parse_question
from streammem.errors import UsageError

ASKED = {
    "When does the cat appear?": Question("when", "cat"),
    "When is the cat shown?": Question("when", "cat"),
    "when can I see a cat": Question("when", "cat"),
    "At what time is the rocket visible?": Question("when", "rocket"),
    "At what point do we see a temple?": Question("when", "temple"),
    "When was the military uniform on screen?": Question("when", "military uniform"),
    "where is the cat": Question("when", "cat"),
    "Find the cat": Question("when", "cat"),
    "please find a red motorcycle": Question("when", "red motorcycle"),
    "Can you find a printed page of text": Question("when", "printed page of text"),
    "Can you tell me when the cat appears?": Question("when", "cat"),
    "show me the motorcycle": Question("when", "motorcycle"),
    "show me all moments with a dog": Question("when", "dog"),
    "  WHEN   does the CAT appear ?? ": Question("when", "cat"),
    "When's the first time the cat appears?": Question("when", "cat", which="first"),
    "When does the cat first appear?": Question("when", "cat", which="first"),
    "When is the cat shown for the first time?": Question("when", "cat", which="first"),
    "When did you last see the dog?": Question("when", "dog", which="last", earlier=False),
    "When does the cat appear last?": Question("when", "cat", which="last", earlier=False),
    "In the first 3 minutes, when does the cat appear?": Question("when", "cat", end_s=180.0),
    "How many times is a cup of coffee shown?": Question("count", "cup of coffee"),
    "How many times does the cat appear?": Question("count", "cat"),
    "how often did you see a dog": Question("count", "dog"),
    "how often is the cat in the video": Question("count", "cat"),
    "how many cats are there": Question("count", "cats"),
    "how many dogs did you see": Question("count", "dogs"),
    "Count the appearances of the cat": Question("count", "cat"),
    "from 1:00 to 2:00 how many times is the cat shown": Question(
        "count", "cat", start_s=60.0, end_s=120.0
    ),
    "how many times was there a cat in the last 30 seconds?": Question(
        "count", "cat", start_s=-30.0
    ),
    "Is there a dog?": Question("presence", "dog"),
    "Is there an elephant in the video?": Question("presence", "elephant"),
    "Was there ever a lion?": Question("presence", "lion"),
    "did you see a motorbike": Question("presence", "motorbike"),
    "have you seen my keys?": Question("presence", "keys"),
    "Does a cat appear?": Question("presence", "cat"),
    "Is a cat shown?": Question("presence", "cat"),
    "Has a cat been shown?": Question("presence", "cat"),
    "Has the lion appeared?": Question("presence", "lion"),
    "Isn't there a cat?": Question("presence", "cat"),
    "Isn\u2019t there a cat?": Question("presence", "cat"),
    "is the moon visible?": Question("presence", "moon"),
    "Do you see the moon": Question("presence", "moon"),
    "does the video show a palace": Question("presence", "palace"),
    "between 1:00 and 2:00 is there a cat": Question("presence", "cat", start_s=60.0, end_s=120.0),
    "is there a dog in the first two minutes?": Question("presence", "dog", end_s=120.0),
    "was there a dog before 2:30?": Question("presence", "dog", end_s=150.0),
    "was there a dog after 2:30?": Question("presence", "dog", start_s=150.0),
    "is there a cat at 2:30?": Question("presence", "cat", start_s=149.0, end_s=151.0),
    "What is shown at 2:30?": Question("at", time_s=150.0),
    "what is on screen at 95 s": Question("at", time_s=95.0),
    "What's happening at 1:02:03?": Question("at", time_s=3723.0),
    "What do you see at 100?": Question("at", time_s=100.0),
    "what can be seen at 12.5 seconds?": Question("at", time_s=12.5),
    "what is visible at around 2 minutes 30 seconds": Question("at", time_s=150.0),
    "what is shown at minute 3?": Question("at", time_s=180.0),
    "what is shown now?": Question("at"),
    "what do you see right now": Question("at"),
    "What comes right after the rocket?": Question("after", "rocket"),
    "what is shown immediately after the cat": Question("after", "cat"),
    "what happens after the cat appears": Question("after", "cat"),
    "What follows the motorcycle?": Question("after", "motorcycle"),
    "What came before the coffee?": Question("before", "coffee"),
    "what comes directly before the temple?": Question("before", "temple"),
    "What was shown just before the tripod?": Question("before", "tripod"),
    "what precedes the cat?": Question("before", "cat"),
    "Which comes first, the rocket or the motorcycle?": Question("first", "rocket", "motorcycle"),
    "which is shown first: a cat or a dog": Question("first", "cat", "dog"),
    "What appears first, cat or coffee?": Question("first", "cat", "coffee"),
    "which came first, the chicken or the egg?": Question("first", "chicken", "egg"),
    "which comes last, the cat or the dog?": Question("first", "cat", "dog", earlier=False),
    "does the cat appear before the coffee?": Question("order", "cat", "coffee"),
    "Did the rocket come before the cat": Question("order", "rocket", "cat"),
    "Was the cat shown after the rocket?": Question("order", "cat", "rocket", earlier=False),
    "How long is the cat shown?": Question("duration", "cat"),
    "how long does the cat appear for": Question("duration", "cat"),
    "For how long was the motorcycle visible?": Question("duration", "motorcycle"),
    "how long do we see the page of text?": Question("duration", "page of text"),
    "what is the duration of the rocket": Question("duration", "rocket"),
    "how many seconds is the cat on screen?": Question("duration", "cat"),
    "What is in the video?": Question("describe"),
    "Describe the video": Question("describe"),
    "Please describe the video.": Question("describe"),
    "what did you see": Question("describe"),
    "What is going on?": Question("describe"),
    "give me a summary": Question("describe"),
    "who is in the video?": Question("describe"),
    "summarise minutes 2 to 5": Question("describe", start_s=120.0, end_s=300.0),
    "Summarize the first two minutes": Question("describe", end_s=120.0),
    "what happens between 1:00 and 2:00": Question("describe", start_s=60.0, end_s=120.0),
    "what happens between 10 and 20 seconds": Question("describe", start_s=10.0, end_s=20.0),
    "what is shown in the last minute": Question("describe", start_s=-60.0),
    "When can a cat be seen?": Question("when", "cat"),
    "When does the dog appear again?": Question("when", "dog"),
    "When does the cat disappear?": Question("when", "cat"),
    "When was the last time you saw the motorcycle?": Question(
        "when", "motorcycle", which="last", earlier=False
    ),
    "list all times a dog appears": Question("when", "dog"),
    "How many dogs appear between 0:30 and 1:30?": Question(
        "count", "dogs", start_s=30.0, end_s=90.0
    ),
    "Did the cat appear twice?": Question("count", "cat"),
    "Was the cat seen more than once?": Question("count", "cat"),
    "Do you remember seeing a cat?": Question("presence", "cat"),
    "Have there been any cats?": Question("presence", "cats"),
    "Is there a cat now?": Question("presence", "cat", start_s=-2.0),
    "Is the cat still there?": Question("presence", "cat", start_s=-2.0),
    "Is there a still life?": Question("presence", "still life"),
    "is there any cat after the dog?": Question("order", "cat", "dog", earlier=False),
    "Does the rocket appear before or after the motorcycle?": Question(
        "first", "rocket", "motorcycle"
    ),
    "How much time does the dog spend on screen?": Question("duration", "dog"),
    "Who appears at 1:10?": Question("at", time_s=70.0),
    "tell me about the video": Question("describe"),
    "what do you see at the start?": Question("describe", end_s=5.0),
    "what's the first thing you saw?": Question("describe", end_s=5.0),
    "what is shown at the end of the video?": Question("describe", start_s=-5.0),
    "what was shown 30 seconds ago?": Question("describe", start_s=-31.0, end_s=-29.0),
    "what happens from 2:00 to 1:00": Question("describe", start_s=60.0, end_s=120.0),
    "Whats in the video?": Question("describe"),
    "whats shown at 2:30": Question("at", time_s=150.0),
    "What is shown at 0:09 and 0:12?": Question("describe", start_s=9.0, end_s=12.0),
    "what is shown at 1m30s": Question("at", time_s=90.0),
    "what is shown at 1h 2m 3s?": Question("at", time_s=3723.0),
    "what is shown 90 seconds in?": Question("at", time_s=90.0),
    "What is shown 1:30 into the video": Question("at", time_s=90.0),
    "at 95, what is shown?": Question("at", time_s=95.0),
    "Is there a cat in the first 10 minutes and 30 seconds?": Question(
        "presence", "cat", end_s=630.0
    ),
    "is there a cat between 1 minute and 2 minutes 30 seconds?": Question(
        "presence", "cat", start_s=60.0, end_s=150.0
    ),
    "what happens in 1:00-2:00": Question("describe", start_s=60.0, end_s=120.0),
    "in the last half minute is there a dog": Question("presence", "dog", start_s=-30.0),
    "what was shown a minute ago": Question("describe", start_s=-61.0, end_s=-59.0),
    "what was shown half an hour ago?": Question("describe", start_s=-1801.0, end_s=-1799.0),
    "what comes right after 1:30?": Question("describe", start_s=90.0),
    "what comes first?": Question("describe", end_s=5.0),
    "what is shown last?": Question("describe", start_s=-5.0),
    "What objects are shown?": Question("describe"),
    "list everything you saw": Question("describe"),
    "What animals are there?": Question("when", "animals"),
    "what animal is shown at 1:00?": Question("when", "animal", start_s=59.0, end_s=61.0),
    "find when the cat appears": Question("when", "cat"),
    "find me all cats": Question("when", "cats"),
    "in what part of the video is the cat shown?": Question("when", "cat"),
    "give me all times when a cat appears": Question("when", "cat"),
    "every time the dog appears": Question("when", "dog"),
    "When does the rocket launch?": Question("when", "rocket launch"),
    "when does the cat\u2019s owner appear": Question("when", "cat's owner"),
    "describe the cat": Question("when", "cat"),
    "Tell me about the cat": Question("when", "cat"),
    "Describe the scene": Question("describe"),
    "what about the dog?": Question("search", "dog"),
    "the first appearance of the cat": Question("when", "cat", which="first"),
    "what is the first moment with a dog": Question("when", "dog", which="first"),
    "when was the cat seen the last time": Question("when", "cat", which="last", earlier=False),
    "When does the second cat appear?": Question("when", "cat", which="second"),
    "What comes after the 3rd cat?": Question("after", "cat", which="third"),
    "What comes before the last cat?": Question("before", "cat", which="last"),
    "When is the first aid kit shown?": Question("when", "first aid kit"),
    "did the cat ever appear again after 2:00?": Question("presence", "cat", start_s=120.0),
    "Is there no cat?": Question("presence", "cat"),
    "is there a cat or not?": Question("presence", "cat"),
    "Are there cats or dogs?": Question("presence", "cats or dogs"),
    "was the cat before the dog or after?": Question("first", "cat", "dog"),
    "did the cat come first or the dog?": Question("first", "cat", "dog"),
    "for how many minutes do we see the cat": Question("duration", "cat"),
    "how many minutes long is the video?": Question("duration", "video"),
    "coffee at 3 pm": Question("search", "coffee at 3 pm"),
    "the 12:30 train": Question("search", "12:30 train"),
    "what is the cat doing?": Question("search", "what is the cat doing"),
    "lighthouse at the end of the pier": Question("search", "lighthouse at the end of the pier"),
    "a cat on a sofa": Question("search", "cat on a sofa"),
    "man with a camera": Question("search", "man with a camera"),
    "motorcycle": Question("search", "motorcycle"),
}


@pytest.mark.parametrize(("text", "meant"), ASKED.items(), ids=list(ASKED))
def test_way_of_asking(text: str, meant: Question) -> None:
    assert parse_question(text) == meant


@pytest.mark.parametrize("text", ["", "   ", "?!", "\n\t", ",", "..."])
def test_empty_question(text: str) -> None:
    with pytest.raises(UsageError, match='the question is empty; ask something like "when does'):
        parse_question(text)


@pytest.mark.parametrize(
    ("phrase", "noun"),
    [
        ("the cat", "cat"),
        ("any of the cats", "of the cats"),
        ("an old cup of coffee in the video", "old cup of coffee"),
        ("my cat at all", "cat"),
        ("  the cat, ", "cat"),
    ],
)
def test_noun_phrase(phrase: str, noun: str) -> None:
    assert noun_phrase(phrase) == noun


@given(st.text(max_size=60))
def test_any_text_means_something(text: str) -> None:
    """Whatever is typed is taken as a question, or refused as an empty one."""
    try:
        question = parse_question(text)
    except UsageError:
        return
    assert question.subject or question.kind in ("at", "describe")
    assert not math.isnan(question.start_s) and not math.isnan(question.end_s)


@given(st.integers(0, 35_999), st.booleans())
def test_times_are_read_as_they_are_written(seconds: int, spaced: bool) -> None:
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    question = parse_question(f"what is shown at {clock}{' ' * spaced}?")
    assert question == Question("at", time_s=float(seconds))


@given(st.from_regex(re.compile(r"(what|how|when|is|the|at|before|[0-9: ]){1,40}"), fullmatch=True))
def test_bits_of_questions_are_no_error_of_the_program(text: str) -> None:
    try:
        parse_question(text)
    except UsageError:
        return
