// What is wrong with a configuration, and where.

import { badge } from "../../components.js";
import { h } from "../../dom.js";

/** A list of the API's problems; `jump(line, column)` is called for the place of one. */
export function problemList(problems, jump) {
  return h("ul", { class: "problems", "aria-label": "Problems" }, problems.map((one) => h("li", null, badge(one.severity, one.severity === "error" ? "bad" : "warn"), place(one, jump), words(one))));
}

function place(one, jump) {
  const at = one.line ? `line ${one.line}, column ${one.column}` : one.path;
  if (!one.line || !jump) return at && h("code", { class: "small" }, at);
  return h("button", { type: "button", class: "link small", onclick: () => jump(one.line, one.column) }, at);
}

function words(one) {
  return h("span", { class: "problem-words" }, one.message, one.suggestion && h("span", { class: "muted" }, ` ${one.suggestion}`));
}
