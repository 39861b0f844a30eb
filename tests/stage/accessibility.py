"""What a page must be for those who do not see it, do not see it well, or have no mouse. Small checks of our own."""

from typing import Any

from tests.stage.browser import Page

CONTROLS = {"button", "link", "searchbox", "textbox", "dialog", "table", "log", "img", "image", "region", "switch"}
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA."""
MOST_STOPS = 200

_CONTRASTS = """
(() => {
  const parts = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...found.slice(0, 3).map((n) => n * 255), found[3] ?? 1]
      : [...found.slice(0, 3), found[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b].map((n) => n / 255)
    .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
    .reduce((sum, n, at) => sum + n * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !node.checkVisibility() || node.closest(".hidden, .skip, svg, script, noscript")) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(ground(node))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40), node.className]);
  }
  return found;
})()
"""
_HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
_FOCUS = """
(() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  const name = node.id || node.textContent.trim().slice(0, 40);
  return [node.tagName, name, style.outlineStyle, parseFloat(style.outlineWidth)];
})()
"""


async def nameless(page: Page) -> list[str]:
    """Roles of what a screen reader would have no name for."""
    found = []
    for node in await page.tree():
        role = node.get("role", {}).get("value", "").lower()
        if role in CONTROLS and not str(node.get("name", {}).get("value", "")).strip():
            found.append(f"{role}: {node.get('properties')}")
    return found


async def roles(page: Page) -> dict[str, int]:
    """How many there are of each."""
    counts: dict[str, int] = {}
    for node in await page.tree():
        role = node.get("role", {}).get("value", "")
        counts[role] = counts.get(role, 0) + 1
    return counts


async def skipped_levels(page: Page) -> list[int]:
    """Levels of headings that come without the one above; a page has one of the first."""
    levels: list[int] = await page.ask(_HEADINGS)
    jumps = [level for before, level in zip([0, *levels], levels, strict=False) if level > before + 1]
    return jumps if levels.count(1) == 1 else [1, *jumps]


async def faint_texts(page: Page) -> tuple[int, list[Any]]:
    """How many texts there are, and which of them have too little contrast."""
    found: list[Any] = await page.ask(_CONTRASTS)
    return len(found), [each for each in found if each[0] < LEAST_CONTRAST]


async def tab_stops(page: Page) -> list[tuple[str, str]]:
    """Where the Tab key leads, from the beginning to the end. Fails where nobody would see where it is."""
    await page.ask("document.activeElement.blur(), window.getSelection().removeAllRanges(), window.scrollTo(0, 0)")
    stops: list[tuple[str, str]] = []
    for _ in range(MOST_STOPS):
        await page.press("Tab")
        tag, name, style, width = await page.ask(_FOCUS)
        if tag == "BODY" or (stops and (tag, name) == stops[0]):
            return stops
        assert style != "none", f"nobody sees that {name} has the focus"
        assert width >= 2, f"nobody sees that {name} has the focus"
        stops.append((tag, name))
    raise AssertionError(f"Tab does not come to an end: {stops[-5:]}")
