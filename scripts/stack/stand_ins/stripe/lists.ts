import { missing } from "./errors.ts";

export interface ListParams {
  created?: RangeParams | undefined;
  ending_before?: string | undefined;
  limit?: number | undefined;
  starting_after?: string | undefined;
}

interface RangeParams {
  gt?: number | undefined;
  gte?: number | undefined;
  lt?: number | undefined;
  lte?: number | undefined;
}

interface Listed {
  id: string;
  created: number;
}

/** One page of what was made, the newest first, 10 unless `limit` says otherwise. */
export function pageOf<T extends Listed>(oldestFirst: Iterable<T>, params: ListParams, url: string) {
  const all = [...oldestFirst].reverse().filter(({ created }) => within(created, params.created));
  const limit = params.limit ?? 10;
  if (params.ending_before !== undefined) {
    const before = all.slice(0, indexOf(all, params.ending_before));
    return { object: "list", data: before.slice(-limit), has_more: before.length > limit, url };
  }
  const rest = params.starting_after === undefined ? all : all.slice(indexOf(all, params.starting_after) + 1);
  return { object: "list", data: rest.slice(0, limit), has_more: rest.length > limit, url };
}

function indexOf(all: Listed[], id: string): number {
  const index = all.findIndex((item) => item.id === id);
  if (index < 0) throw missing("object", id, "starting_after");
  return index;
}

const within = (at: number, range: RangeParams = {}): boolean =>
  at >= (range.gte ?? at) &&
  at <= (range.lte ?? at) &&
  at > (range.gt ?? Number.NEGATIVE_INFINITY) &&
  at < (range.lt ?? Number.POSITIVE_INFINITY);
