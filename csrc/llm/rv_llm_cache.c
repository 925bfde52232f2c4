/* Keys and values of one sequence: address space for the whole capacity at once, memory as positions are written. */
#define _GNU_SOURCE
#include "rv_llm_internal.h"
#include "../rv_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t padded(size_t positions) { return (positions + RV_KEY_BLOCK - 1) / RV_KEY_BLOCK * RV_KEY_BLOCK; }

/* Numbers of one head's keys, or values, of one layer. */
static size_t key_numbers(const rv_llm *model, size_t positions) { return padded(positions) * model->config.head_dim; }
static size_t value_numbers(const rv_llm *model, size_t positions) { return padded(positions) * model->value_stride; }

static size_t numbers(const rv_llm *model, size_t positions) {
    return (key_numbers(model, positions) + value_numbers(model, positions)) * model->config.kv_heads *
           model->config.layers;
}

uint8_t *rv_llm_keys(const rv_llm_cache *cache, size_t layer, size_t head) {
    const size_t keys = key_numbers(cache->model, cache->capacity), values = value_numbers(cache->model, cache->capacity);
    return cache->numbers +
           (layer * cache->model->config.kv_heads + head) * (keys + values) * cache->model->cache_bytes;
}

uint8_t *rv_llm_values(const rv_llm_cache *cache, size_t layer, size_t head) {
    return rv_llm_keys(cache, layer, head) + key_numbers(cache->model, cache->capacity) * cache->model->cache_bytes;
}

rv_llm_cache *rv_llm_cache_new(rv_llm *model, size_t capacity) {
    if (capacity < 1 || capacity > model->config.context) return NULL;
    rv_llm_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    *cache = (rv_llm_cache){.model = model, .capacity = capacity, .bytes = numbers(model, capacity) * model->cache_bytes};
    cache->numbers = mmap(NULL, cache->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->numbers != MAP_FAILED) return cache;
    free(cache);
    return NULL;
}

void rv_llm_cache_free(rv_llm_cache *cache) {
    if (!cache) return;
    rv_pool_take(NULL);
    munmap(cache->numbers, cache->bytes);
    rv_pool_release();
    free(cache);
}

size_t rv_llm_cache_length(const rv_llm_cache *cache) { return cache->length; }
size_t rv_llm_cache_capacity(const rv_llm_cache *cache) { return cache->capacity; }
size_t rv_llm_cache_bytes(const rv_llm_cache *cache, size_t positions) {
    return numbers(cache->model, positions) * cache->model->cache_bytes;
}

void rv_llm_cache_truncate(rv_llm_cache *cache, size_t length) {
    rv_pool_take(NULL);
    if (length < cache->length) cache->length = length;
    if (!length) madvise(cache->numbers, cache->bytes, MADV_DONTNEED);
    rv_pool_release();
}

int rv_llm_cache_copy(const rv_llm_cache *from, rv_llm_cache *to, size_t length) {
    const rv_llm *model = from->model;
    rv_pool_take(NULL);
    const int fits = to->model == model && from != to && length <= from->length && length <= to->capacity;
    for (size_t i = 0; fits && i < model->config.layers * model->config.kv_heads; i++) {
        const size_t layer = i / model->config.kv_heads, head = i % model->config.kv_heads;
        memcpy(rv_llm_keys(to, layer, head), rv_llm_keys(from, layer, head),
               key_numbers(model, length) * model->cache_bytes);
        memcpy(rv_llm_values(to, layer, head), rv_llm_values(from, layer, head),
               length * model->value_stride * model->cache_bytes);
    }
    if (fits) to->length = length;
    rv_pool_release();
    return fits ? RV_LLM_OK : RV_LLM_BAD_CACHE;
}
