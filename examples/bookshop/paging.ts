export interface Paging {
  limit: number
  offset: number
}

export interface Page<T> {
  total: number
  items: T[]
}

/** Of what `em().findAndCount()` gives. */
export function pageOf<T> ([items, total]: [T[], number]): Page<T> {
  return { total, items }
}
