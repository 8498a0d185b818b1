/** A document of a memory engine's image that reads as one does of whose real file one bit has turned. */
import type { MemoryImage } from "../../storage/memory-image.ts";
import { openTiny, simDisk } from "./log-store.ts";

/** Which bit of a document's file turns. */
export interface FileBit {
  readonly offset: number;
  readonly bit: number;
}

/** From now on the document reads as it would by a log engine with that flaw on its disk, until it is written anew. */
export async function rot({ documents }: MemoryImage, name: string, place: FileBit): Promise<void> {
  const content = documents.get(name);
  if (content === undefined) throw new Error(`there is no document ${name}`);
  const disk = simDisk();
  const writer = await openTiny(disk);
  await writer.writeDocument(name, content);
  await writer.close();
  disk.flipBit(`documents/${name}`, place);
  const reader = await openTiny(disk);
  const [get, set] = [documents.get.bind(documents), documents.set.bind(documents)];
  documents.get = (asked) => (asked === name ? reader.readDocument(name) : get(asked));
  documents.set = (asked, bytes) => {
    if (asked === name) Object.assign(documents, { get, set });
    return set(asked, bytes);
  };
}
