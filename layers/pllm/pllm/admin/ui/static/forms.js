// Form fields: a label, a control, a hint and a place for what is wrong with it.

import { h, replace } from "./dom.js";

let fields = 0;

/**
 * field({ label, name, type, value, hint, options, required, ... any attribute of the control }).
 * type: that of an <input>, or "textarea", "select" (options: [{ value, label }] or strings), "checkbox".
 * -> { node, input, name, value, problem(text) }; value is a string, for a number a number or null, for a checkbox a boolean.
 */
export function field({ label, name, type = "text", value, hint, options = [], required = false, ...attributes }) {
  const id = `field-${(fields += 1)}`;
  const told = { id, name, required, "aria-describedby": `${id}-hint`, ...attributes };
  const input = control(type, value, options, told);
  const wrong = h("span", { class: "field-problem" });
  const below = h("p", { class: "field-hint", id: `${id}-hint` }, hint && h("span", null, hint), wrong);
  const words = [label, !required || type === "checkbox" ? null : h("span", { class: "field-required", "aria-hidden": "true" }, " *")];
  const title = h("label", { for: id, class: "field-label" }, words);
  const order = type === "checkbox" ? h("div", { class: "field-check" }, input, title) : [title, input];
  const node = h("div", { class: "field" }, order, below);
  function problem(text) {
    input.setAttribute("aria-invalid", String(Boolean(text)));
    replace(wrong, text && ` ${text}`);
    if (text) input.focus();
  }
  input.addEventListener("input", () => problem(""));
  return {
    node,
    input,
    name,
    problem,
    get value() {
      if (type === "checkbox") return input.checked;
      if (type === "number") return input.value.trim() === "" ? null : Number(input.value);
      return input.value;
    },
    set value(wanted) {
      if (type === "checkbox") input.checked = Boolean(wanted);
      else input.value = wanted ?? "";
    },
  };
}

function control(type, value, options, attributes) {
  if (type === "textarea") return h("textarea", { class: "input", ...attributes, value: value ?? "" });
  if (type === "checkbox") return h("input", { type, class: "checkbox", ...attributes, checked: Boolean(value) });
  if (type !== "select") return h("input", { type, class: "input", autocomplete: "off", ...attributes, value: value ?? "" });
  const choices = options.map((one) => (typeof one === "string" ? { value: one, label: one } : one));
  const shown = choices.map((one) => h("option", { value: one.value, disabled: one.disabled }, one.label));
  return h("select", { class: "input", ...attributes, value: value ?? choices[0]?.value ?? "" }, shown);
}

/** form(fields, submit): a <form> around them; submit() is called on Enter and may throw an ApiError, whose field gets it. */
export function form(fields, submit, ...more) {
  const wrong = h("div", { role: "alert", class: "form-problem" });
  async function submitted(event) {
    event.preventDefault();
    replace(wrong);
    try {
      await submit();
    } catch (error) {
      const at = fields.find((one) => one.name && one.name === error.param);
      if (at) at.problem(error.message);
      else replace(wrong, h("p", { class: "problem" }, error.message));
    }
  }
  return h("form", { class: "form", novalidate: true, onsubmit: submitted }, fields.map((one) => one.node), wrong, more);
}
