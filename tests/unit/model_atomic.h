/* SPDX-License-Identifier: MIT */
/* Stands in for runtime/atomic.h where the runtime's code is model checked: included before all else by the compiler's command
 * line. The names and orders are the same; each place that uses one is known to the checker, which can weaken its order. */
#ifndef WHORL_RUNTIME_ATOMIC_H
#define WHORL_RUNTIME_ATOMIC_H

#include "tests/unit/model.h"

#define MODEL_SITE(operation_, kind_, order_, target_)                                                                             \
    __extension__({                                                                                                                \
        static struct model_site site_ = {                                                                                         \
            .operation = operation_, .target = target_, .kind = kind_, .order = order_, .now = order_};                            \
        site_.function = __func__;                                                                                                 \
        &site_;                                                                                                                    \
    })

/* A statement, so that nobody minds when the value is not used. */
#define MODEL_TYPED(p, value)                                                                                                      \
    __extension__({                                                                                                                \
        __typeof__(*(p)) value_ = (__typeof__(*(p)))(value);                                                                       \
        value_;                                                                                                                    \
    })
#define MODEL_BITS(v) ((uint64_t)(uintptr_t)(v))

#define MODEL_LOAD_AS(p, order)     MODEL_TYPED(p, model_load((p), sizeof *(p), MODEL_SITE("load", MODEL_LOAD, order, #p)))
#define MODEL_STORE_AS(p, v, order) model_store((p), sizeof *(p), MODEL_BITS(v), MODEL_SITE("store", MODEL_STORE, order, #p))
#define MODEL_CHANGE_AS(how, p, v, order)                                                                                          \
    MODEL_TYPED(p, model_##how((p), sizeof *(p), MODEL_BITS(v), MODEL_SITE(#how, MODEL_CHANGE, order, #p)))
#define MODEL_CAS_AS(p, expected, v, order)                                                                                        \
    model_cas((p), sizeof *(p), (expected), MODEL_BITS(v), MODEL_SITE("cas", MODEL_CHANGE, order, #p))

#define whorl__load_relaxed(p)             MODEL_LOAD_AS(p, MODEL_RELAXED)
#define whorl__load_acquire(p)             MODEL_LOAD_AS(p, MODEL_ACQUIRE)
#define whorl__load_seq_cst(p)             MODEL_LOAD_AS(p, MODEL_SEQ_CST)
#define whorl__store_relaxed(p, v)         MODEL_STORE_AS(p, v, MODEL_RELAXED)
#define whorl__store_release(p, v)         MODEL_STORE_AS(p, v, MODEL_RELEASE)
#define whorl__xchg_acq_rel(p, v)          MODEL_CHANGE_AS(exchange, p, v, MODEL_ACQ_REL)
#define whorl__xchg_seq_cst(p, v)          MODEL_CHANGE_AS(exchange, p, v, MODEL_SEQ_CST)
#define whorl__add_relaxed(p, v)           MODEL_CHANGE_AS(add, p, v, MODEL_RELAXED)
#define whorl__add_acq_rel(p, v)           MODEL_CHANGE_AS(add, p, v, MODEL_ACQ_REL)
#define whorl__add_seq_cst(p, v)           MODEL_CHANGE_AS(add, p, v, MODEL_SEQ_CST)
#define whorl__sub_acq_rel(p, v)           MODEL_CHANGE_AS(add, p, -(v), MODEL_ACQ_REL)
#define whorl__or_seq_cst(p, v)            MODEL_CHANGE_AS(or, p, v, MODEL_SEQ_CST)
#define whorl__and_seq_cst(p, v)           MODEL_CHANGE_AS(and, p, v, MODEL_SEQ_CST)
#define whorl__cas_acq_rel(p, expected, v) MODEL_CAS_AS(p, expected, v, MODEL_ACQ_REL)
#define whorl__cas_seq_cst(p, expected, v) MODEL_CAS_AS(p, expected, v, MODEL_SEQ_CST)

/* A function there, a macro here: the place that matters is its caller. */
#define whorl__fence_seq_cst()      model_fence(MODEL_SITE("fence", MODEL_FENCE, MODEL_SEQ_CST, ""))
#define whorl__fence_after_change() model_fence(MODEL_SITE("fence after change", MODEL_FENCE, MODEL_SEQ_CST, ""))

static inline void whorl__fence_compiler(void)
{
}

static inline void whorl__count(uint64_t *counter, uint64_t n)
{
    whorl__store_relaxed(counter, whorl__load_relaxed(counter) + n);
}

static inline void whorl__cpu_relax(void)
{
    model_pause();
}

struct whorl__spinlock {
    uint32_t locked;
};

static inline bool whorl__spin_trylock(struct whorl__spinlock *l)
{
    if (MODEL_CHANGE_AS(exchange, &l->locked, 1, MODEL_ACQUIRE) != 0)
        return false;
    model_guarded(l);
    return true;
}

static inline void whorl__spin_lock(struct whorl__spinlock *l)
{
    while (!whorl__spin_trylock(l))
        model_pause();
}

static inline void whorl__spin_unlock(struct whorl__spinlock *l)
{
    model_guarded(l);
    whorl__store_release(&l->locked, 0);
}

#endif
