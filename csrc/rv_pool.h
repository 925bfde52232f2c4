/* The process's one pool of threads. A job runs on all of them at once, the caller's thread among them, and they meet at barriers.
 * Waiting threads spin for some tens of microseconds, then sleep. Callers take turns, so there are never more threads at
 * work than were asked for. A forked child starts a pool of its own when it first needs one. */
#ifndef RV_POOL_H
#define RV_POOL_H
#include <stdatomic.h>
#include <stddef.h>

/* Takes the pool for the caller, waiting for its turn: returns how many threads there are, 0 if *cancel (may be NULL) became
 * not 0 meanwhile. */
size_t rv_pool_take(const volatile int *cancel);
/* The same without waiting: 0 if somebody has it. */
size_t rv_pool_take_if_free(void);
void rv_pool_release(void);

/* For who has taken it: runs job(context, thread) on every thread, 0 being the caller's, and returns when all are done. */
void rv_pool_run(void (*job)(void *context, size_t thread), void *context);

/* Inside a job: waits until every thread has come here. */
void rv_pool_meet(void);

/* Inside a job: one step of it, `count` items that any thread may take. Returns when all are done, whoever did them: a thread
 * that comes late finds nothing left to do and keeps nobody waiting. The step is all zeros before the job. */
typedef struct rv_pool_step {
    atomic_size_t taken, done;
} rv_pool_step;
void rv_pool_share(rv_pool_step *step, size_t count, void (*item)(void *context, size_t i), void *context);

/* Between jobs: how many threads the next runs on, and the number to have from then on (at most 256). */
size_t rv_pool_threads(void);
size_t rv_pool_set_threads(size_t threads);

#endif
