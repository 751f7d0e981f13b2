// What comes over the page: dialogs (native ones, so focus stays inside and Escape closes) and short messages.

import { h, replace } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Asks for something. `body`: nodes, may be form fields. `run`: what the button does; while it runs the dialog waits, if it
 * throws its message is shown inside and the dialog stays. Resolves with what run() returned, or null when it was closed.
 * Without an `action` it only tells something. `sticky`: only its button closes it, not Escape.
 */
export function dialog({ title, body, action = "Save", tone = "primary", run, cancel = "Cancel", wide = false, sticky = false }) {
  return new Promise((resolve) => {
    let result = null;
    const problem = h("div", { class: "dialog-problem", role: "alert" });
    const submit = action && h("button", { type: "submit", class: `button button-${tone}` }, h("span", null, action));
    const close = h("button", { type: "button", class: "button", onclick: () => box.close() }, h("span", null, cancel));
    const cross = !sticky && h("button", { type: "button", class: "button button-icon button-quiet", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
    const head = h("header", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title), cross);
    const content = h("div", { class: "dialog-body" }, body);
    const insides = h("form", { novalidate: true, onsubmit: submitted }, head, content, problem, h("footer", { class: "dialog-foot" }, close, submit));
    const box = h("dialog", { class: wide ? "dialog dialog-wide" : "dialog", "aria-labelledby": "dialog-title", onclose: closed, oncancel: cancelled }, insides);
    function cancelled(event) {
      if (sticky) event.preventDefault();
    }
    async function submitted(event) {
      event.preventDefault();
      if (!submit || submit.disabled) return;
      submit.disabled = true;
      replace(problem);
      try {
        result = run ? ((await run()) ?? true) : true;
        box.close();
      } catch (error) {
        replace(problem, h("p", { class: "problem" }, icon("warn", { size: 16 }), h("span", null, error.message)));
      } finally {
        submit.disabled = false;
      }
    }
    function closed() {
      box.remove();
      resolve(result);
    }
    document.body.append(box);
    box.showModal();
    (content.querySelector("input, select, textarea") ?? submit ?? close).focus();
  });
}

/** confirm({ title, text, action, tone, run }): true when it was done. With `run`, it is done in the dialog. */
export async function confirm({ title, text, action = "Yes", tone = "danger", run }) {
  return (await dialog({ title, body: h("p", null, text), action, tone, run })) !== null;
}

/** A message that goes by itself: tone good, bad or info. Bad ones stay until they are closed. */
export function toast(message, tone = "good") {
  const close = h("button", { type: "button", class: "button button-icon button-quiet", "aria-label": "Dismiss", onclick: () => note.remove() }, icon("close", { size: 16 }));
  const drawing = icon({ good: "check", bad: "warn" }[tone] ?? "info");
  const note = h("div", { class: `toast toast-${tone}`, role: tone === "bad" ? "alert" : "status" }, drawing, h("p", null, message), close);
  document.getElementById("toasts").append(note);
  if (tone !== "bad") setTimeout(() => note.remove(), 5_000);
}

/** Tells what went wrong. What was on its way when the page was left is nothing wrong. */
export function complain(error) {
  if (error.name !== "AbortError") toast(error.message, "bad");
}

/** Copies text and says so. */
export async function copied(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    toast("The browser does not let this page copy: select the text and copy it.", "bad");
  }
}
