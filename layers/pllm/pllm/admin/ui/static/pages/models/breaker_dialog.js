// The dialog that forces a breaker open or closed, or lets what happens decide again.

import { dialog, field, segments, toast } from "../../components.js";
import { h } from "../../dom.js";

const WISHES = [
  { id: "open", label: "Force open", path: "open", says: "Nothing is sent there, whatever it could answer.", done: "is forced open" },
  { id: "close", label: "Force closed", path: "close", says: "It is used, whatever comes of it: failures do not open it.", done: "is forced closed" },
  { id: "release", label: "Automatic", path: "release", says: "What happens decides again: with a probe where it was open.", done: "is automatic again" },
];
const TIMES = [
  { value: "", label: "Until it is set back to automatic" },
  { value: "300", label: "5 minutes" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
];

/** Asks what is to be done with a deployment's breaker and does it. -> the breaker as it is then, or null. */
export async function changeBreaker(api, one) {
  let wish = WISHES[one.breaker?.forced ? 2 : 0];
  const says = h("p", { class: "muted", "aria-live": "polite" });
  const time = field({ label: "For how long", name: "seconds", type: "select", options: TIMES });
  const reason = field({ label: "Why", name: "reason", maxlength: 200, hint: "Shown beside the breaker, for whoever looks later." });
  const more = h("div", { class: "form" }, time.node, reason.node);
  function choose(id) {
    wish = WISHES.find((known) => known.id === id);
    says.textContent = wish.says;
    more.hidden = wish.id === "release";
  }
  const choice = segments({ label: "What is to hold", items: WISHES, selected: wish.id, onchange: choose });
  choose(wish.id);
  async function run() {
    const body = wish.id === "release" ? undefined : { seconds: time.value ? Number(time.value) : null, reason: reason.value.trim() };
    return api.post(`/api/admin/breakers/${encodeURIComponent(one.id)}/${wish.path}`, body);
  }
  const name = h("p", { class: "break" }, h("strong", null, one.id));
  const moved = await dialog({ title: "Breaker", body: [name, choice, says, more], action: "Apply", run });
  if (moved) toast(`${one.id} ${wish.done}`);
  return moved;
}
