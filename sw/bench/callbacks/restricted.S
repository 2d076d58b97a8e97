#define ITERATE iterate_restricted
#include "iterate.h"
