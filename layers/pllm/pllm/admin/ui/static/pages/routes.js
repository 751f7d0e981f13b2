// Routes: how a name becomes deployments, and where a request goes when those fail.

import { button, card, empty, pageHead, skeleton, stat, stats } from "../components.js";
import { h, replace } from "../dom.js";
import { number, plural } from "../format.js";
import { aliasCard, modelsCard, routeCard } from "./routes/cards.js";
import { STRATEGIES, world } from "./routes/world.js";

export const title = "Routes";

export async function render(root, context) {
  const place = h("div", { class: "panel" }, skeleton(3, { tall: true }));
  async function show() {
    const [routes, models] = await Promise.all([context.api.get("/api/admin/routes"), context.api.get("/api/admin/models")]);
    replace(place, drawn(world(routes, models.data)));
  }
  const again = () => show().then(() => context.announce("Refreshed"));
  root.append(pageHead(title, "How a name becomes deployments, and where a request goes when they fail", button("Refresh", { icon: "refresh", onclick: again })), place);
  await show();
}

function drawn(found) {
  const { routes, aliases, strategy, retries } = found.routes;
  const tiles = stats(
    stat({ label: "Strategy", value: strategy, detail: STRATEGIES[strategy] ?? "", key: "strategy" }),
    stat({ label: "Retries", value: number(retries), detail: "on one model" }),
    stat({ label: "Routes", value: number(routes.length), detail: plural(routes.filter((one) => !one.enabled).length, "is off", "are off") }),
    stat({ label: "Aliases", value: number(Object.keys(aliases).length) }),
  );
  const note = h("p", { class: "muted small" }, "A request goes through a path from left to right and to no name twice, so it cannot run in circles. All of this is configuration: it is changed on the page Settings.");
  const nothing = routes.length === 0 && card({ title: "Routes" }, empty("There is no route", "A route is a name of its own for a choice among models: `routes` in the configuration."));
  return [tiles, note, nothing, routes.map((route) => routeCard(found, route)), Object.keys(aliases).length > 0 && aliasCard(found), modelsCard(found)];
}
