"""Prints what a report says first; fails unless its winner beat the reference and Wiener."""

import html
import re
import sys
from pathlib import Path

page = Path(sys.argv[1]).read_text("utf-8")
sentences = [html.unescape(text) for text in re.findall(r'<p class="lead">(.*?)</p>', page, re.S)]
print("the report says:", *sentences, sep="\n  ")
whole = " ".join(sentences)
for needed in (r"beats the reference by", r"it beats [^;]*\bwiener\b(?! rank)"):
    if not re.search(needed, whole):
        sys.exit(f"error: the report's first sentences do not say {needed!r}")
