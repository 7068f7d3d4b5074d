// What a generated network calls: operators over rows first ... last - 1 of their output.
#pragma once

#include <stdint.h>
#include <string.h>

#include "isa.hpp"

namespace sdiwm {
namespace nn {

// A table has no effect on 16-bit results: the compiler gives them none.
static inline void apply_table(const int8_t* table, int32_t n, int8_t* y) {
  if (table != nullptr) lookup(table, y, n, y);
}
static inline void apply_table(const int8_t*, int32_t, int16_t*) {}

template <class In, class Out>
static void convolution(const Layer& layer, Rows<In> in, Rows<Out> out, int32_t first,
                        int32_t last, void* scratch) {
  const In* rows[kMostRows];
  for (int32_t y = first; y < last; ++y) {
    seen_rows(layer.window, in, y, rows);
    convolution_row(layer, rows, out[y], static_cast<int16_t*>(scratch));
    apply_table(layer.table, layer.out_width * layer.out_channels, out[y]);
  }
}

// A convolution whose output is a single place.
template <class In, class Out>
static void fully_connected(const Layer& layer, Rows<In> in, Rows<Out> out, int32_t first,
                            int32_t last, void* scratch) {
  const In* rows[kMostRows];
  for (int32_t y = first; y < last; ++y) {
    seen_rows(layer.window, in, y, rows);
    fully_connected_row(layer, rows, out[y], static_cast<int16_t*>(scratch));
    apply_table(layer.table, layer.out_channels, out[y]);
  }
}

template <class In, class Out>
static void depthwise(const Layer& layer, Rows<In> in, Rows<Out> out, int32_t first, int32_t last,
                      void* scratch) {
  const In* rows[kMostRows];
  for (int32_t y = first; y < last; ++y) {
    seen_rows(layer.window, in, y, rows);
    depthwise_row(layer, rows, out[y], static_cast<int16_t*>(scratch));
    apply_table(layer.table, layer.out_width * layer.out_channels, out[y]);
  }
}

template <class T>
static void max_pool(const Pool& pool, Rows<T> in, Rows<T> out, int32_t first, int32_t last) {
  const T* rows[kMostRows];
  for (int32_t y = first; y < last; ++y) {
    seen_rows(pool.window, in, y, rows);
    max_pool_row(pool, rows, out[y]);
  }
}

template <class T>
static void average_pool(const Pool& pool, Rows<T> in, Rows<T> out, int32_t first, int32_t last) {
  const T* rows[kMostRows];
  for (int32_t y = first; y < last; ++y) {
    seen_rows(pool.window, in, y, rows);
    average_pool_row(pool, rows, out[y]);
  }
}

// n elements a row; b has as many rows as a, or a single place of `period` elements.
template <class A, class B, class Out>
static void add(const Sum& sum, Rows<A> a, Rows<B> b, int32_t period, Rows<Out> out, int32_t n,
                int32_t first, int32_t last) {
  for (int32_t y = first; y < last; ++y) {
    add(sum, a[y], b[b.height == 1 ? 0 : y], period, n, out[y]);
    apply_table(sum.table, n, out[y]);
  }
}

template <class A, class B, class Out>
static void multiply(const Product& product, Rows<A> a, Rows<B> b, int32_t period, Rows<Out> out,
                     int32_t n, int32_t first, int32_t last) {
  for (int32_t y = first; y < last; ++y) {
    multiply(product, a[y], b[b.height == 1 ? 0 : y], period, n, out[y]);
  }
}

// `from` and `to` are the first channels; `in_channels` and `out_channels` those of the tensors.
template <class In, class Out>
static void rescale(const Rescaling& r, Rows<In> in, int32_t from, int32_t in_channels,
                    Rows<Out> out, int32_t to, int32_t out_channels, int32_t places, int32_t first,
                    int32_t last) {
  for (int32_t y = first; y < last; ++y) {
    rescale(r, in[y] + from, in_channels, places, out[y] + to, out_channels);
  }
}

template <class T>
static void lookup(const T* table, Rows<T> in, Rows<T> out, int32_t n, int32_t first,
                   int32_t last) {
  for (int32_t y = first; y < last; ++y) lookup(table, in[y], n, out[y]);
}

}  // namespace nn
}  // namespace sdiwm
