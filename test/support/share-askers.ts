/**
 * Who asks a node's calm for what it has measured, for tests of the joints by which rooms are handed what calm says. It only
 * listens: the answer is the real core's.
 */
import { join } from "node:path";

/** Listens while it stands. */
export interface AskersWatch extends Disposable {
  /** the files that have asked, as their paths in the house */
  readonly files: ReadonlySet<string>;
}

const HOUSE = `${join(import.meta.dirname, "../..")}/`;
/** These ask for whoever they work for. */
const GO_BETWEENS: readonly string[] = ["services/repair/transfer-pace.ts"];

/** Listens, at every node of this process, to who asks for what a getter of one of calm's cores tells. */
export function watchAskers(core: { readonly prototype: object }, getter: string): AskersWatch {
  const { prototype } = core;
  const plain = Object.getOwnPropertyDescriptor(prototype, getter);
  const answer = plain?.get;
  if (plain === undefined || answer === undefined) throw new Error(`there is no getter ${getter}`);
  const files = new Set<string>();
  function listening(this: unknown): unknown {
    const file = askerOf(new Error("who asks").stack ?? "");
    if (file !== undefined) files.add(file);
    return answer?.call(this);
  }
  Object.defineProperty(prototype, getter, { ...plain, get: listening });
  return { files, [Symbol.dispose]: () => void Object.defineProperty(prototype, getter, plain) };
}

/** The innermost frame that is neither this file's nor calm's. */
function askerOf(stack: string): string | undefined {
  const files = stack.split("\n").flatMap((frame) => frame.split(HOUSE)[1]?.split(":")[0] ?? []);
  return files.slice(1).find((file) => !file.startsWith("services/calm/") && !GO_BETWEENS.includes(file));
}
