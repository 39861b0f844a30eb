// Light, dark, or as the system has it.
import { get } from "./dom.js";

const KEY = "fleetlb-theme";
const THEMES = ["system", "light", "dark"];

function kept() {
  try {
    return localStorage.getItem(KEY) || "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

function show(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  get("theme").textContent = `Theme: ${theme}`;
}

export function startTheme() {
  let theme = THEMES.includes(kept()) ? kept() : "system";
  show(theme);
  get("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    show(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // it holds for this page then
    }
  });
}
