// Settings: the configuration in use, its versions, and changing it: written, checked, compared, published, gone back from.

import { badge, button, card, complain, notice, pageHead, skeleton, stat, stats } from "../components.js";
import { h, replace } from "../dom.js";
import { number } from "../format.js";
import { editorCard } from "./settings/editor.js";
import { problemList } from "./settings/problems.js";
import { versionsCard } from "./settings/versions.js";

export const title = "Settings";

const AGAIN_MS = 2_000;

export async function render(root, context) {
  const { api } = context;
  const head = h("div", { class: "panel" }, skeleton(2, { tall: true }));
  const below = h("div", { class: "panel" });
  let editor = null;
  let timer = 0;
  context.onLeave(() => clearTimeout(timer));
  root.append(pageHead(title, "The configuration of every environment", button("Refresh", { icon: "refresh", onclick: refresh })), head, below);

  /** A text that somebody is at work on stays as it is, and with it the version that it was made from. */
  async function show() {
    const versions = await about();
    if (!versions) return replace(below, noTable());
    if (!editor?.changed()) {
      const { text } = await api.get(`/api/admin/config/versions/${versions.current}`);
      editor = editorCard(context, { text, versions, published });
    }
    replace(below, editor.node, versionsCard(context, { versions, published }, editor));
  }
  /** What is in use; looked at again while a version is being taken up. */
  async function about() {
    clearTimeout(timer);
    const [running, versions] = await Promise.all([api.get("/api/admin/config"), versionsOf(api)]);
    replace(head, summary(running, versions), warnings(running));
    if (versions && versions.current !== running.version) timer = setTimeout(() => about().catch(() => {}), AGAIN_MS);
    return versions;
  }
  async function refresh() {
    try {
      await show();
      context.announce("Refreshed");
    } catch (error) {
      complain(error);
    }
  }
  async function published() {
    editor = null;
    await refresh();
    editor?.node.querySelector("button")?.focus(); // what was pressed is gone
  }
  await show();
}

/** null where there is no table to keep versions in. */
async function versionsOf(api) {
  try {
    return await api.get("/api/admin/config/versions");
  } catch (error) {
    if (error.status !== 503) throw error;
    return null;
  }
}

function noTable() {
  return notice("info", "There is no table", "Versions of the configuration are kept in one (PLLM_TABLE). Without it the configuration is the one that was deployed.");
}

function summary(running, versions) {
  const name = (version) => (version === 0 ? "deployed" : `version ${version}`);
  const idle = running.not_served.length;
  const late = versions && versions.current !== running.version;
  const tiles = stats(
    stat({ label: "In use here", value: name(running.version), detail: late ? `${name(versions.current)} is being taken up` : "in every environment", tone: late ? "warn" : "" }),
    stat({ label: "Models", value: number(running.models), detail: idle > 0 ? `${number(idle)} not served` : null, tone: idle > 0 ? "warn" : "" }),
    stat({ label: "Deployments", value: number(running.deployments) }),
    stat({ label: "Warnings", value: number(running.warnings.length), tone: running.warnings.length > 0 ? "warn" : "" }),
  );
  const facts = h("dl", { class: "facts" }, h("dt", null, "Source"), h("dd", null, h("code", null, running.source)), h("dt", null, "Content"), h("dd", null, h("code", null, running.etag)));
  return [tiles, card({ title: "In use", actions: badge(name(running.version), "info", { plain: true }) }, facts)];
}

function warnings(running) {
  if (running.warnings.length === 0) return null;
  return card({ title: "Warnings", subtitle: "It is in use all the same." }, problemList(running.warnings));
}
