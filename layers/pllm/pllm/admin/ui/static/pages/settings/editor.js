// The configuration as text: written here, checked and compared by the API, and published for every environment.

import { button, card, dialog, field, notice, toast } from "../../components.js";
import { h, replace } from "../../dom.js";
import { plural } from "../../format.js";
import { diffView } from "./diff.js";
import { problemList } from "./problems.js";
import { codeEditor } from "./text.js";

/** -> { node, open(text, name), changed() }. Viewers may read and copy. */
export function editorCard(context, { text, versions, published }) {
  const { api, who } = context;
  const admin = who.role === "admin";
  const editor = codeEditor({ label: "Configuration, YAML or JSON", value: text, readonly: !admin });
  const beside = h("div", { class: "editor-beside", "aria-live": "polite" });
  const subtitle = h("span", null, versions.current === 0 ? "The deployed one, as JSON; credentials in it are hidden." : `Version ${versions.current}, as it was written.`);

  let known = text;
  function open(wanted, name) {
    known = wanted;
    editor.value = wanted;
    replace(beside);
    subtitle.textContent = `${name}, to be looked at${admin ? " and changed" : ""}.`;
    editor.focus();
  }

  /** The API's word on the text; its problems are shown beside it. */
  async function check() {
    const found = await api.post("/api/admin/config/check", { text: editor.value });
    editor.mark(found.problems);
    const errors = found.problems.filter((one) => one.severity === "error").length;
    const verdict = found.valid ? notice("good", "It is valid", found.problems.length > 0 ? `With ${plural(found.problems.length, "warning")}.` : "Nothing is wrong with it.") : notice("bad", `${plural(errors, "error")}`, "It cannot be published.");
    replace(beside, verdict, found.problems.length > 0 && problemList(found.problems, (line, column) => editor.jump(line, column)));
    return found;
  }

  async function compare() {
    const found = await api.post("/api/admin/config/diff", { text: editor.value });
    replace(beside, h("h3", null, "Compared with the one in use"), diffView(found.diff));
    return found;
  }

  async function publish() {
    if (!(await check()).valid) return;
    const { diff } = await api.post("/api/admin/config/diff", { text: editor.value, against: versions.current });
    if (!diff) return replace(beside, notice("info", "There is nothing to publish", "The text means what is in use."));
    const note = field({ label: "Note", name: "note", maxlength: 500, hint: "Why, for whoever looks later." });
    const words = h("p", null, "Every environment takes it up within five seconds. The version before stays, and you can go back to it.");
    const send = () => api.post("/api/admin/config/versions", { text: editor.value, expected: versions.current, note: note.value.trim() });
    const done = await dialog({ title: "Publish this configuration?", body: [words, diffView(diff), note.node], action: "Publish", wide: true, run: send });
    if (!done) return;
    toast(`Version ${done.version} is published`);
    await published();
  }

  const running = (work) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") replace(beside, notice("bad", "This did not work", error.message));
    } finally {
      pressed.disabled = false;
    }
  };
  const actions = admin && [button("Validate", { icon: "check", onclick: running(check) }), button("Compare", { onclick: running(compare) }), button("Publish", { tone: "primary", onclick: running(publish) })];
  return { node: card({ title: admin ? "Change it" : "Text", subtitle, actions }, h("div", { class: "editor-grid" }, editor.node, beside)), open, changed: () => editor.value !== known };
}
