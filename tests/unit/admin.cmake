foreach(file csrf metrics origin routes session static_files view)
	box_unit_test(admin ${file} LIBS admin_parts)
endforeach()
