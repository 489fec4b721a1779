//! Instructions that probes stand at: where a function of Go has made sure of its stack, and where it returns.

use iced_x86::{Decoder, DecoderOptions, Mnemonic};

use super::elf::{Machine, word};

/// Places within a function, in bytes from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// Behind the check of the stack, which may begin the function anew: what stands here runs once a call, with the
    /// arguments still in their registers.
    pub(crate) enters: u64,
    pub(crate) returns: Vec<u64>,
}

/// The check stands among the first instructions of a function.
const MOST_BEFORE_CHECK: usize = 8;

/// The places of a function of Go; `None` where its instructions cannot be told, or it never returns. O(code).
pub(crate) fn places(machine: Machine, code: &[u8]) -> Option<Places> {
    match machine {
        Machine::X86 => x86(code),
        Machine::Arm => Some(arm(code)),
        Machine::Other => None,
    }
    .filter(|places| !places.returns.is_empty())
}

fn x86(code: &[u8]) -> Option<Places> {
    let mut places = Places { enters: 0, returns: Vec::new() };
    let decoder = Decoder::new(64, code, DecoderOptions::NONE);
    for (number, instruction) in decoder.into_iter().enumerate() {
        match instruction.mnemonic() {
            // It cannot be told where the next one begins.
            Mnemonic::INVALID => return None,
            Mnemonic::Ret => places.returns.push(instruction.ip()),
            // The stack's end against the stack's pointer: below or equal leads to where more is made.
            Mnemonic::Jbe if number < MOST_BEFORE_CHECK && places.enters == 0 => {
                places.enters = instruction.next_ip();
            }
            _ => {}
        }
    }
    Some(places)
}

fn arm(code: &[u8]) -> Places {
    let mut places = Places { enters: 0, returns: Vec::new() };
    for (number, instruction) in (0_u64..).zip(code.chunks_exact(4)) {
        let instruction = word(instruction, 0);
        if instruction & 0xffff_fc1f == 0xd65f_0000 {
            places.returns.push(number * 4);
        }
        // B.LS
        let is_check = instruction & 0xff00_001f == 0x5400_0009;
        if is_check && places.enters == 0 && usize::try_from(number).is_ok_and(|at| at < MOST_BEFORE_CHECK) {
            places.enters = number * 4 + 4;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_is_an_instruction_and_no_byte_of_another_one() {
        #[rustfmt::skip]
        let code = [
            0x49, 0x3b, 0x66, 0x10,             // cmp rsp, [r14+16]
            0x76, 0x0b,                         // jbe +11
            0x48, 0x83, 0xec, 0xc3,             // sub rsp, -0x3d: ends with the byte of a return
            0xb8, 0xc3, 0xc3, 0xc3, 0xc3,       // mov eax, 0xc3c3c3c3
            0xc3,                               // ret
            0xcc,                               // int3
            0xeb, 0xed,                         // jmp -19
            0x76, 0xfe,                         // jbe -2: too late for a check
            0xc2, 0x08, 0x00,                   // ret 8
        ];
        let met = places(Machine::X86, &code).unwrap();
        assert_eq!(met, Places { enters: 6, returns: vec![15, 21] });
        let mut broken = code;
        broken[6] = 0x06;
        assert_eq!(places(Machine::X86, &broken), None, "no instruction of 64 bits");
        assert_eq!(places(Machine::X86, &code[..10]), None, "never returns");
        assert_eq!(places(Machine::Other, &code), None);
    }

    #[test]
    fn instructions_of_arm_are_found_by_their_words() {
        let words: [u32; 7] = [
            0xf940_0b90, // ldr x16, [x28, #16]
            0xeb30_63ff, // cmp sp, x16
            0x5400_00a9, // b.ls
            0xf81e_0ffe, // str x30, [sp, #-32]!
            0xd65f_03c0, // ret
            0x5400_0049, // b.ls
            0xd65f_03c0, // ret
        ];
        let code: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(places(Machine::Arm, &code), Some(Places { enters: 12, returns: vec![16, 24] }));
        assert_eq!(places(Machine::Arm, &code[..16]), None);
    }
}
