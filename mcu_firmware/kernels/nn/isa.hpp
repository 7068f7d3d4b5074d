// The one place where the kernels of a network are chosen: by the flags this is compiled with.
#pragma once

#include "portable/add.hpp"
#include "portable/average_pool.hpp"
#include "portable/convolution.hpp"
#include "portable/depthwise.hpp"
#include "portable/global_average.hpp"
#include "portable/lookup.hpp"
#include "portable/max_pool.hpp"
#include "portable/multiply.hpp"
#include "portable/rescale.hpp"
#include "portable/spatial_softmax.hpp"
