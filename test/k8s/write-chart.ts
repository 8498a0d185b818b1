/** `npm run k8s:chart`: writes the Helm chart's templates anew from `k8s/base` and `k8s/components`. */
import { globSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chartTemplates } from "./chart.ts";
import { K8S, readManifest } from "./rendered.ts";

const FOLDER = join(K8S, "helm/gyre/templates");

for (const name of globSync("*.yaml", { cwd: FOLDER })) rmSync(join(FOLDER, name));
for (const [name, text] of Object.entries(chartTemplates(readManifest))) writeFileSync(join(FOLDER, name), text);
