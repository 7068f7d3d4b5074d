// The one place where the kernels of a network are chosen: by the flags this is compiled with.
#pragma once

#if defined(__ARM_FEATURE_MVE)
#include "mve/convolution.hpp"
#include "mve/depthwise.hpp"
#include "mve/fully_connected.hpp"
#include "mve/spatial_softmax.hpp"
#elif defined(__ARM_FEATURE_DSP)
#include "dsp/convolution.hpp"
#include "dsp/depthwise.hpp"
#include "dsp/fully_connected.hpp"
#include "dsp/largest.hpp"
#include "portable/spatial_softmax.hpp"
#else
#include "portable/convolution.hpp"
#include "portable/depthwise.hpp"
#include "portable/largest.hpp"
#include "portable/spatial_softmax.hpp"
#endif

#include "portable/add.hpp"
#include "portable/average_pool.hpp"
#include "portable/global_average.hpp"
#include "portable/lookup.hpp"
#include "portable/max_pool.hpp"
#include "portable/multiply.hpp"
#include "portable/rescale.hpp"
