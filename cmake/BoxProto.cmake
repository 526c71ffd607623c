# box_proto: C from proto/*.proto.  Seen as system headers and built without our warnings,
# because the generator's style is not ours to mend.
function(box_proto target)
	set(outputs)
	foreach(file ${ARGN})
		get_filename_component(name ${file} NAME_WE)
		set(c ${CMAKE_CURRENT_BINARY_DIR}/${name}.pb-c.c)
		set(h ${CMAKE_CURRENT_BINARY_DIR}/${name}.pb-c.h)
		add_custom_command(OUTPUT ${c} ${h}
			COMMAND ${PROTOC_C} --c_out=${CMAKE_CURRENT_BINARY_DIR} -I ${CMAKE_CURRENT_SOURCE_DIR}
				${CMAKE_CURRENT_SOURCE_DIR}/${file}
			DEPENDS ${ARGN} VERBATIM)
		list(APPEND outputs ${c})
	endforeach()
	add_library(${target} STATIC ${outputs})
	target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_CURRENT_BINARY_DIR})
	target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUFC)
	target_compile_options(${target} PRIVATE -w)
endfunction()
