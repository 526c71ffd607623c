foreach(file csrf metrics origin routes session static_files view)
	box_unit_test(admin ${file} LIBS admin_parts)
endforeach()
box_fuzz(admin_headers SERVICE admin LIBS admin_parts)

# For tests/integration/test_admin.py: whoever asks a registry can be tried against this one.
add_executable(fake_registry ${CMAKE_SOURCE_DIR}/tests/support/fake_registry.c)
target_link_libraries(fake_registry PRIVATE box_flags box_common)
set_target_properties(fake_registry PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
