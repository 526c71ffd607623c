foreach(file hosts rights leases canon checks handlers module_names incidents pyjson)
	box_unit_test(registry ${file} LIBS registry_parts)
endforeach()

box_fuzz(registry_hosts SERVICE registry LIBS registry_parts)
box_fuzz(registry_import SERVICE registry LIBS registry_parts)

# For tests/integration/test_registry.py: everyone who asks the registry, and a fake executor.
add_executable(registry_ask ${CMAKE_SOURCE_DIR}/tests/support/registry_ask.c)
target_link_libraries(registry_ask PRIVATE box_flags box_common)
set_target_properties(registry_ask PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
