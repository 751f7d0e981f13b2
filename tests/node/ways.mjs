// Standard input: [{ routes, models, name }], as the API has them. Standard output: the ways that the admin page draws for each.

import { readFileSync } from "node:fs";

const { world } = await import(process.argv[2]);
const asked = JSON.parse(readFileSync(0, "utf-8"));
process.stdout.write(JSON.stringify(asked.map(({ routes, models, name }) => world(routes, models).ways(name))));
