/* The process's one pool of threads. A long job runs on all of them at once, the caller's thread among them, and they meet at
 * barriers; waiting threads spin for some tens of microseconds, then sleep. A short one runs on the caller's thread and on
 * whichever come in time. Callers take turns, so there are never more threads at work than were asked for. A forked child
 * starts a pool of its own when it first needs one. */
#ifndef RV_POOL_H
#define RV_POOL_H
#include <stdatomic.h>
#include <stddef.h>

/* Takes the pool for the caller, waiting for its turn: returns how many threads there are, 0 if *cancel (may be NULL) became
 * not 0 meanwhile. */
size_t rv_pool_take(const volatile int *cancel);
void rv_pool_release(void);

/* For who has taken it: runs job(context, thread) on every thread, 0 being the caller's, and returns when all are done. */
void rv_pool_run(void (*job)(void *context, size_t thread), void *context);

/* Inside a job: waits until every thread has come here. */
void rv_pool_meet(void);

/* Runs job(context, 0) here and job(context, 1), ... on up to `most` - 1 other threads, each of them if it comes before the
 * caller is done: on a busy machine nobody waits for a thread that has not begun. On the caller's alone if somebody has the
 * pool. */
void rv_pool_help(void (*job)(void *context, size_t thread), void *context, size_t most);

/* Inside such a job: one step of it, `count` items that any thread may take. Returns when all are done, whoever did them, so
 * that a thread that comes late finds nothing left to do. The step is all zeros before the job. */
typedef struct rv_pool_step {
    atomic_size_t taken, done;
} rv_pool_step;
void rv_pool_share(rv_pool_step *step, size_t count, void (*item)(void *context, size_t i), void *context);

/* Between jobs: how many threads the next runs on, and the number to have from then on (at most 256). */
size_t rv_pool_threads(void);
size_t rv_pool_set_threads(size_t threads);

#endif
