// Keys: virtual keys, teams, and who changed what.

import { pageHead, tabs } from "../components.js";
import { h } from "../dom.js";
import { auditTab } from "./keys/audit.js";
import { keysTab } from "./keys/list.js";
import { teamsTab } from "./keys/teams.js";

export const title = "Keys";

const TABS = [
  { id: "keys", label: "Keys", show: keysTab },
  { id: "teams", label: "Teams", show: teamsTab },
  { id: "audit", label: "Audit log", show: auditTab },
];

export async function render(root, context) {
  const panel = h("div", { class: "panel" });
  const selected = TABS.some((tab) => tab.id === context.rest[0]) ? context.rest[0] : "keys";
  let shown = Promise.resolve();
  /** Each in a place of its own: one that is slow to come does not overwrite the one after it. */
  function change(id) {
    const place = h("div", { class: "panel" });
    panel.replaceChildren(place);
    shown = TABS.find((tab) => tab.id === id).show(place, context);
  }
  const row = tabs({ label: "Keys, teams and changes", items: TABS, selected, onchange: change, panel });
  root.append(pageHead(title, "Who may call, for what, and how much"), row, panel);
  await shown;
}
