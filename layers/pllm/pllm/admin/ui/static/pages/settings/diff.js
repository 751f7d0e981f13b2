// A difference between two texts, line by line.

import { h } from "../../dom.js";

/** A unified diff as lines, each with its sign; "" says that there is no difference. */
export function diffView(text) {
  if (!text) return h("p", { class: "muted" }, "There is no difference.");
  const lines = text.replace(/\n$/, "").split("\n").map(line);
  return h("div", { class: "diff", role: "region", "aria-label": "Difference", tabindex: 0 }, h("pre", null, lines));
}

function line(text) {
  if (text.startsWith("+++") || text.startsWith("---") || text.startsWith("@@")) return h("span", { class: "diff-line diff-about" }, `${text}\n`);
  if (text.startsWith("+")) return h("ins", { class: "diff-line" }, `${text}\n`);
  if (text.startsWith("-")) return h("del", { class: "diff-line" }, `${text}\n`);
  return h("span", { class: "diff-line" }, `${text}\n`);
}
