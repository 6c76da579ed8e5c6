//! Wrong command lines, said in docker's words.
