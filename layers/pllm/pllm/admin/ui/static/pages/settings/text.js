// A text field for code: numbered lines, marks on those that something is wrong with, and a way to a line.

import { h, replace } from "../../dom.js";

/** -> { node, value, focus(), mark(problems), jump(line, column) } */
export function codeEditor({ label, value = "", readonly = false }) {
  const gutter = h("div", { class: "code-gutter", "aria-hidden": "true" });
  const input = h("textarea", { class: "code-input", "aria-label": label, spellcheck: "false", autocapitalize: "none", autocomplete: "off", wrap: "off", readonly, value });
  let marks = new Map();

  function number() {
    const count = input.value.split("\n").length;
    const lines = Array.from({ length: count }, (_, place) => h("span", { class: `code-number ${marks.get(place + 1) ?? ""}`.trim() }, String(place + 1)));
    replace(gutter, lines);
    gutter.scrollTop = input.scrollTop;
  }
  function changed() {
    marks = new Map();
    number();
  }
  /** Tab indents while something is written; Escape, then Tab, leaves the field. */
  let leaving = false;
  function typed(event) {
    if (event.key === "Escape") leaving = true;
    else if (event.key === "Tab" && !event.shiftKey && !leaving && !readonly) {
      event.preventDefault();
      input.setRangeText("  ", input.selectionStart, input.selectionEnd, "end");
      changed();
    } else if (event.key !== "Shift") leaving = false;
  }
  input.addEventListener("input", changed);
  input.addEventListener("scroll", () => (gutter.scrollTop = input.scrollTop));
  input.addEventListener("keydown", typed);
  number();

  return {
    node: h("div", null, h("div", { class: "code" }, gutter, input), !readonly && h("p", { class: "field-hint" }, "Tab indents; Escape, then Tab, leaves the field.")),
    get value() {
      return input.value;
    },
    set value(wanted) {
      input.value = wanted;
      changed();
      input.scrollTop = 0;
    },
    focus: () => input.focus(),
    mark(problems) {
      marks = new Map(problems.filter((one) => one.line).map((one) => [one.line, one.severity === "error" ? "code-error" : "code-warning"]));
      number();
    },
    jump(line, column) {
      const lines = input.value.split("\n");
      const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
      const length = lines[line - 1]?.length ?? 0;
      input.focus();
      input.setSelectionRange(start + Math.min(column - 1, length), start + length);
      input.scrollTop = Math.max(0, (line - 5) * (input.scrollHeight / lines.length));
    },
  };
}
