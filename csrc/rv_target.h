/* Lets one file use one instruction set whatever the compiler flags are, so that a single set of flags builds all.
 * What lies between RV_TARGET_BEGIN("avx2,fma") and RV_TARGET_END is compiled for those features;
 * RV_DOTPROD names NEON's dot product extension as the compiler does. */
#ifndef RV_TARGET_H
#define RV_TARGET_H

#define RV_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define RV_TARGET_BEGIN(features)                                                                                      \
    RV_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define RV_TARGET_END _Pragma("clang attribute pop")
#define RV_DOTPROD "dotprod"
#else
#define RV_TARGET_BEGIN(features) _Pragma("GCC push_options") RV_PRAGMA(GCC target(features))
#define RV_TARGET_END _Pragma("GCC pop_options")
#define RV_DOTPROD "arch=armv8.2-a+dotprod"
#endif

#endif
