// A key's secret, which is shown this once.

import { button, copied, dialog, notice } from "../../components.js";
import { h } from "../../dom.js";

/** Shows the secret of a key that was made or rotated. Only the button closes it: nobody can show it again. */
export function showSecret(made, what) {
  const secret = h("code", { class: "secret", tabindex: 0, "aria-label": "The key" }, made.key);
  const copy = button("Copy key", { tone: "primary", icon: "copy", onclick: () => copied(made.key, "The key is copied") });
  const until = made.previous_valid_until && h("p", null, `The key before works until ${new Date(made.previous_valid_until).toLocaleString("en-GB")}.`);
  const body = [
    notice("warn", "Copy it now", "This is the only time it is shown. The gateway keeps a hash of it and cannot show it again; whoever loses it rotates the key."),
    h("div", { class: "secret-row" }, secret, copy),
    until,
  ];
  return dialog({ title: `${what}: ${made.name}`, body, action: null, cancel: "I have stored the key", wide: true, sticky: true });
}
