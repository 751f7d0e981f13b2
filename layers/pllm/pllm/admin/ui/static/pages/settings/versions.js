// The versions of the configuration: looked at, compared, gone back to.

import { badge, button, card, complain, dialog, table, toast } from "../../components.js";
import { h } from "../../dom.js";
import { dateTime, number } from "../../format.js";
import { diffView } from "./diff.js";

const DEPLOYED = { version: 0, note: "The one that the functions were deployed with", by: null, at: null, size: null };
const name = (version) => (version === 0 ? "The deployed one" : `Version ${version}`);

export function versionsCard(context, { versions, published }, editor) {
  const { api, who } = context;
  const admin = who.role === "admin";

  async function open(row) {
    const { text } = await api.get(`/api/admin/config/versions/${row.version}`);
    editor.open(text, name(row.version));
  }
  async function compare(row) {
    const { diff } = await api.post("/api/admin/config/diff", { version: versions.current, against: row.version });
    await dialog({ title: `${name(row.version)}, and what is in use now`, body: diffView(diff), action: null, cancel: "Close", wide: true });
  }
  async function back(row) {
    const { diff } = await api.post("/api/admin/config/diff", { version: row.version, against: versions.current });
    const body = [h("p", null, `${name(row.version)} is used again by every environment within five seconds. Nothing is lost: the versions stay.`), diffView(diff)];
    const send = () => api.post("/api/admin/config/rollback", { version: row.version, expected: versions.current });
    const done = await dialog({ title: `Go back to ${name(row.version).toLowerCase()}?`, body, action: "Go back", tone: "danger", wide: true, run: send });
    if (!done) return;
    toast(`${name(row.version)} is used again`);
    await published();
  }
  const trying = (work, row) => () => work(row).catch(complain);
  function actions(row) {
    const current = row.version === versions.current;
    const labelled = (label, work) => button(label, { class: "button button-small", onclick: trying(work, row), "aria-label": `${label}: ${name(row.version)}` });
    return h("div", { class: "actions" }, labelled("Open", open), admin && !current && [labelled("Compare", compare), labelled("Go back", back)]);
  }
  const columns = [
    { label: "Version", header: true, cell: (row) => h("div", { class: "names" }, h("strong", null, row.version === 0 ? "deployed" : row.version), row.version === versions.current && badge("in use", "good")) },
    { label: "Note", cell: (row) => row.note || h("span", { class: "muted" }, "none") },
    { label: "By", cell: (row) => row.by ?? "–" },
    { label: "Published", cell: (row) => dateTime(row.at) },
    { label: "Characters", align: "end", cell: (row) => number(row.size) },
    { label: "Actions", hideLabel: true, align: "end", cell: actions },
  ];
  return card({ title: "Versions", subtitle: "The newest first. Going back keeps them all." }, table({ caption: "Versions of the configuration", columns, rows: [...versions.data, DEPLOYED], key: (row) => row.version }));
}
