# The rule for the test driver of the object store module; everything else is the Makefile's.
include Makefile

$(BUILD)/s3/store_driver: tests/s3/store_driver.c $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(OBJECTS) $(LIBS)
