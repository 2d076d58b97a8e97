#define ITERATE iterate_same
#include "iterate.h"
