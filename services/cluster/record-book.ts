/** A node's records as the exchange wants them: plain values in, plain values out. Before it is a member there are none. */
import { parseDigests, parseNews, plainDigests, plainNews, type RecordNews } from "../placement/record-codec.ts";
import type { RecordSet } from "../placement/record-set.ts";
import type { MemberStore } from "./member-store.ts";
import type { RecordBook } from "./record-exchange.ts";

/** Where the records are, once they are. */
export interface BookSource {
  now(): { readonly set: RecordSet; readonly store: Pick<MemberStore, "record"> } | undefined;
  /** Takes news; resolves when what matters is durable. */
  merge(news: RecordNews): Promise<void>;
  /** Resolves when what was taken until now is durable. */
  settled(): Promise<void>;
}

/** The book of one node. */
export function recordBookOf(source: BookSource): RecordBook {
  return {
    hash: () => source.now()?.set.hash ?? 0n,
    digests: () => plainDigests(source.now()?.set.digests() ?? []),
    newerThan: (digests) => {
      const parsed = parseDigests(digests);
      const news = parsed && source.now()?.set.newerThan(parsed);
      return news === undefined || news.records.length + news.removals.length === 0 ? undefined : plainNews(news);
    },
    ownRecords: () => {
      const now = source.now();
      if (now === undefined) return plainNews({ records: [], removals: [] });
      const own = now.store.record;
      const removals = now.set.removals().filter((removal) => removal.by === own.key);
      return plainNews({ records: [own], removals });
    },
    settled: () => source.settled(),
    merge: async (records) => {
      const set = source.now()?.set;
      const news = set && parseNews(records, set.partitionCount);
      if (news === undefined) return "malformed";
      await source.merge(news);
      return "merged";
    },
  };
}
