"""A program of Dagyo: a report about texts, with their titles translated."""

from typing import Any

import dagyo


@dagyo.progdef
async def report(
    text: dagyo.In[Any], table: dagyo.In[Any], markdown: dagyo.Out[str]
) -> None:
    """Write a table of texts. The words of titles are translated by a table of one record."""
    words = [w async for w in table][0]
    rows = ["| page | language | title | in English | lines |", "|---|---|---|---|---|"]
    page = 0
    async for each in text:
        page += 1
        title, *rest = each["lines"] or [""]
        english = words.get(each["language"], {}).get(title, title)
        rows.append(f"| {page} | {each['language']} | {title} | {english} | {len(rest)} |")
    await markdown.send("\n".join(rows))


if __name__ == "__main__":
    dagyo.main(report)
