// Refreshing a page: every few seconds while it is looked at, at once on demand.

import { button, badge } from "./components.js";
import { h, replace } from "./dom.js";
import { clock } from "./format.js";

const EVERY_MS = 10_000;

/**
 * live(context, load): calls `await load()` now and every ten seconds while the page is visible. -> { controls, refresh }:
 * `controls` to be put into the page's head, `refresh()` loads now. What load() throws the first time is thrown by `ready`;
 * later it is told beside the button, and what is shown stays.
 */
export function live(context, load) {
  const state = h("span", { class: "live-state small muted" });
  const again = button("Refresh", { icon: "refresh", onclick: () => refresh(true) });
  let timer = 0;
  let running = null;
  let stopped = false;

  function schedule() {
    clearTimeout(timer);
    if (!stopped && document.visibilityState === "visible") timer = setTimeout(() => refresh(), EVERY_MS);
  }

  async function once() {
    again.classList.add("is-busy");
    try {
      await load();
      replace(state, `Updated ${clock(Date.now(), { seconds: true })}`);
    } finally {
      again.classList.remove("is-busy");
      running = null;
      schedule();
    }
  }

  async function refresh(asked = false) {
    try {
      await (running ??= once());
      if (asked) context.announce("Refreshed");
    } catch (error) {
      if (!stopped && error.name !== "AbortError") replace(state, badge("Not up to date", "warn"), h("span", { class: "visually-hidden" }, error.message));
    }
  }

  function looked() {
    if (document.visibilityState === "visible") refresh();
    else clearTimeout(timer);
  }

  document.addEventListener("visibilitychange", looked);
  context.onLeave(() => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", looked);
  });
  running = once();
  const ready = running;
  return { controls: h("div", { class: "live" }, state, again), refresh, ready };
}
