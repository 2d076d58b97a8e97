#define ITERATE iterate_complete
#include "iterate.h"
