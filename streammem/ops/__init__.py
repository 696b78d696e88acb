"""Operations on tensors of video: each folder has one public function and its backends."""
