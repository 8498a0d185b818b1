/** For what a test asks for beside its story, which a busy machine may refuse for a while. Must never be given what is tested itself. */
import { PATIENCE_MS, pause } from "./cluster.ts";
import { type Answer, type Ask, tryAsk } from "./http.ts";

/** The first answer that is no refusal of a node that is too busy. */
export async function answered(url: string, what: Ask = {}): Promise<Answer> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await tryAsk(url, what);
    if (answer !== undefined && answer.status < 500) return answer;
    if (performance.now() > endsAt) throw new Error(`no answer of ${url}: ${answer?.text}`);
    await pause(50);
  }
}
