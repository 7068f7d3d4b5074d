// The one place where an instruction set is chosen: by the flags this file is compiled with.
//
// Each set has a folder with the same functions, and the number of candidates that it rolls out
// together: as many as its registers hold. Everything lives in a namespace of its own per set, since
// one library links several of them.
#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__) && defined(__AVX512BW__)

#define SDIWM_ISA avx512vnni
#define SDIWM_TILE 64
#include "avx512vnni/head.hpp"
#include "avx512vnni/noise.hpp"
#include "avx512vnni/peak.hpp"
#include "avx512vnni/step.hpp"
#include "avx512vnni/weighted_sums.hpp"
#include "portable/dot_s16.hpp"

#elif defined(__AVX2__)

#define SDIWM_ISA avx2
#define SDIWM_TILE 64
#include "avx2/head.hpp"
#include "avx2/step.hpp"
#include "portable/dot_s16.hpp"
#include "portable/noise.hpp"
#include "portable/peak.hpp"
#include "portable/weighted_sums.hpp"

#elif defined(__ARM_FEATURE_MVE)

#define SDIWM_ISA mve
#define SDIWM_TILE 8
#include "mve/dot_s16.hpp"
#include "mve/head.hpp"
#include "mve/step.hpp"
#include "portable/noise.hpp"
#include "portable/weighted_sums.hpp"

#elif defined(__ARM_FEATURE_DSP)

#define SDIWM_ISA dsp
#define SDIWM_TILE 2
#include "dsp/dot_s16.hpp"
#include "dsp/head.hpp"
#include "dsp/step.hpp"
#include "portable/noise.hpp"
#include "portable/weighted_sums.hpp"

#else

#define SDIWM_ISA portable
#define SDIWM_TILE 64
#include "portable/dot_s16.hpp"
#include "portable/head.hpp"
#include "portable/noise.hpp"
#include "portable/peak.hpp"
#include "portable/step.hpp"
#include "portable/weighted_sums.hpp"

#endif
