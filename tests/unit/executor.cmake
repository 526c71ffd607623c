# For tests/integration/test_executor.py and test_escapes.py: sandboxes without a bus.
add_executable(executor_run ${CMAKE_SOURCE_DIR}/tests/support/executor_run.c)
target_link_libraries(executor_run PRIVATE box_flags box_executor)
set_target_properties(executor_run PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
