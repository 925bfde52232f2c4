/* Lets one file use one instruction set whatever the compiler flags are, so that a single set of flags builds all.
 * What lies between RV_TARGET_BEGIN("avx2,fma") and RV_TARGET_END is compiled for those features. */
#ifndef RV_TARGET_H
#define RV_TARGET_H

#define RV_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define RV_TARGET_BEGIN(features)                                                                                      \
    RV_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define RV_TARGET_END _Pragma("clang attribute pop")
#else
#define RV_TARGET_BEGIN(features) _Pragma("GCC push_options") RV_PRAGMA(GCC target(features))
#define RV_TARGET_END _Pragma("GCC pop_options")
#endif

#endif
